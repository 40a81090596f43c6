"""The gate by itself: two or three models measured on the same prompts, and the verdict."""

from dataclasses import dataclass
from typing import Any

from rich.table import Table

from .gate import GateVerdict, decide
from .gate_figures import GateFigures
from .gate_measure import Told, measure
from .round_report import RoundReport
from .round_tools import probe_of, shipped_student
from .rounds_config import RoundsConfig
from .weights import Weights


@dataclass(frozen=True, slots=True)
class GateRun:
    """What the gate found."""

    base: GateFigures
    before: GateFigures
    after: GateFigures
    verdict: GateVerdict

    def to_row(self) -> dict[str, Any]:
        """As JSON keeps it."""
        return {
            "verdict": self.verdict.to_row(),
            "base": self.base.to_row(),
            "before": self.before.to_row(),
            "after": self.after.to_row(),
        }


def run_gate(
    config: RoundsConfig, trained: Weights, *, before: Weights | None, told: Told
) -> GateRun:
    """Measures base and trained model, and the one before if it is another.

    Raises ValueError or OSError with a sentence for what cannot be loaded or asked.
    """
    probe = probe_of(config, shipped_student(config.model))
    base, tokenizer = Weights(config.model).load()
    told("the base")
    first = measure(probe, base, tokenizer, told=told)
    then = first.figures
    if before is not None:
        told("the model before")
        then = measure(probe, *before.load(), told=told).figures
    model, own = trained.load()
    told("the trained model")
    after = measure(probe, model, own, base=base, base_wrote=first.harmless, told=told).figures
    verdict = decide(first.figures, then, after, config.limits)
    return GateRun(first.figures, then, after, verdict)


def gate_table(found: GateRun) -> Table:
    """For a terminal."""
    table = Table("figure", "base", "before", "after", title="Gate")
    compared = RoundReport.compared(found.before, found.after)
    for name, (before, after) in compared.items():
        base = getattr(found.base, name)
        table.add_row(name.replace("_", " "), _shown(base), _shown(before), _shown(after))
    for check in found.verdict.checks:
        style = None if check.passed else "yellow"
        table.add_row(str(check), "", "", "passed" if check.passed else "not passed", style=style)
    return table


def _shown(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"
