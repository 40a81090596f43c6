"""The arms side by side: the same pairs, model and budget, measured on the same held-out prompts.

What is the same: the pairs, the number of sequences trained on, adapter, rate and steps. GRPO
writes its own traces to the pairs' requests and is rewarded by the gate's judge.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rich.table import Table

from ..distill.run_folder import inside
from ..guard.pairs import Pair
from .gate_figures import GateFigures
from .gate_measure import Told
from .preference import train_preference
from .preference_config import Arm
from .round_tools import probe_of
from .rounds_config import RoundsConfig
from .start import Start
from .weights import Weights


@dataclass(frozen=True, slots=True)
class ArmResult:
    """One arm."""

    arm: Arm
    figures: GateFigures
    seconds: float
    pairs_per_s: float


def compare_arms(
    config: RoundsConfig,
    pairs: Sequence[Pair],
    out: Path,
    *,
    arms: Sequence[Arm] = tuple(Arm),
    told: Told = lambda _: None,
) -> tuple[GateFigures, list[ArmResult]]:
    """Trains each arm on `pairs` and measures it; gives the base's figures and theirs.

    Resumable: every arm has its folder in `out`. Raises what training raises.
    """
    out.mkdir(parents=True, exist_ok=True)
    probe = probe_of(config, None)  # the arms are compared unguarded
    probe = replace(probe, self_finder=None)
    start = Start.measured(config.model, probe, out, told)
    results = []
    for arm in arms:
        settings = replace(config.training, arm=arm, model_name_or_path=config.model)
        folder = inside(out, str(arm))
        told(f"training the arm {arm}")
        trained = train_preference(settings, pairs, folder, judge=probe.judge)
        weights = Weights.trained(config.model, trained.trained)
        figures = start.compared(weights, probe, folder / "figures.json", told)
        results.append(ArmResult(arm, figures, trained.seconds, trained.pairs_per_s))
    return start.figures, results


_NAMES = {
    Arm.INTERVENED: "preference, from the divergence on",
    Arm.WHOLE: "preference, whole responses",
    Arm.SFT: "SFT on intervened traces",
    Arm.GRPO: "GRPO",
}


def arms_table(base: GateFigures, results: Sequence[ArmResult]) -> Table:
    """For a terminal."""
    head = ("harmful reasoning", "harmful answers", "over-refusal", "tasks solved", "KL")
    table = Table("arm", *head, "seconds", title="Arms, same pairs and budget")
    rows = [("before", base, "")]
    rows += [(_NAMES[each.arm], each.figures, f"{each.seconds:.0f}") for each in results]
    for name, figures, seconds in rows:
        shares = (
            figures.reasoning_harm,
            figures.answer_harm,
            figures.over_refusal,
            figures.utility,
        )
        shown = ["–" if each is None else f"{each:.1%}" for each in shares]
        table.add_row(name, *shown, "–" if figures.kl is None else f"{figures.kl:.3f}", seconds)
    return table
