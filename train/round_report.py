"""What a round came to: `report.json` a round, and `report.md`, a table and plots of the run."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from rich.table import Table

from ..distill.run_folder import inside, put_text, read_as, write_record
from .divergence import BIN_TOKENS
from .gate_figures import GateFigures

FILE = "report.json"
"""In a round's folder; it ends the round."""

_FIGURES = (
    "reasoning_harm",
    "answer_harm",
    "over_refusal",
    "harmless_refusal",
    "utility",
    "kl",
    "interventions_per_100",
    "false_interventions_per_100",
    "self_detector",
    "student",
    "trigger_position",
)
_SHARES = {
    "reasoning_harm", "answer_harm", "over_refusal", "harmless_refusal", "utility",
    "self_detector", "student",
}  # fmt: skip
_COLUMNS = {
    "reasoning_harm": "harmful reasoning",
    "answer_harm": "harmful answers",
    "over_refusal": "over-refusal",
    "utility": "tasks solved",
    "kl": "KL from base",
    "interventions_per_100": "interventions a 100",
    "self_detector": "self-detector",
}
_NAMES = ("round", *_COLUMNS.values(), "pairs", "tokens a pair", "outcome")

_MAX_SHOWN = 5
"""Rounds in a terminal's table, the last ones; `report.md` has all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundReport:
    """One round."""

    number: int
    promoted: bool
    reason: str
    before: GateFigures
    after: GateFigures
    num_pairs: int
    tokens_per_pair: float | None
    """Generated for each accepted pair of a harmful prompt."""

    training_s: float
    student: str | None = None
    """The new student's folder in the round's, where one was swapped in."""

    @staticmethod
    def compared(
        before: GateFigures, after: GateFigures
    ) -> dict[str, tuple[float | None, float | None]]:
        """Every figure before and after."""
        return {name: (getattr(before, name), getattr(after, name)) for name in _FIGURES}

    def write(self, folder: Path) -> None:
        """Puts `report.json` in place, which ends the round."""
        compared = {
            name: {"before": before, "after": after}
            for name, (before, after) in self.compared(self.before, self.after).items()
        }
        write_record(
            folder / FILE,
            {
                "round": self.number,
                "promoted": self.promoted,
                "reason": self.reason,
                **compared,
                "kl_by_position": list(self.after.kl_by_position),
                "tokens_per_pair": self.tokens_per_pair,
                "num_pairs": self.num_pairs,
                "training_s": self.training_s,
                "new_student": self.student,
                "figures": {"before": self.before.to_row(), "after": self.after.to_row()},
            },
        )

    @classmethod
    def read(cls, folder: Path) -> Self | None:
        """The round's report, or None for a round that is not over.

        Raises ValueError for one that is damaged, or whose student lies outside the folder.
        """
        return read_as(folder / FILE, lambda record: cls._read(folder, record))

    @classmethod
    def _read(cls, folder: Path, record: Mapping[str, Any]) -> Self:
        student = record["new_student"]
        return cls(
            number=record["round"],
            promoted=record["promoted"],
            reason=record["reason"],
            before=GateFigures.from_row(record["figures"]["before"]),
            after=GateFigures.from_row(record["figures"]["after"]),
            num_pairs=record["num_pairs"],
            tokens_per_pair=record["tokens_per_pair"],
            training_s=record["training_s"],
            student=None if student is None else str(inside(folder, student).relative_to(folder)),
        )


def round_table(start: GateFigures, reports: Sequence[RoundReport]) -> Table:
    """The run for a terminal: a row for each figure, a column for the start and each of the last
    rounds."""
    first, *rounds = _rows(start, reports)
    shown = [first, *rounds[-_MAX_SHOWN:]]
    table = Table(title="Rounds")
    table.add_column("round")
    for row in shown:
        table.add_column(row[0], style="dim" if row[-1] == "rejected" else None, justify="right")
    for name, *cells in zip(_NAMES[1:], *(row[1:] for row in shown), strict=True):
        table.add_row(name, *cells)
    return table


def write_summary(out: Path, start: GateFigures, reports: Sequence[RoundReport]) -> None:
    """`report.md` and the plots of the rounds so far; plots need matplotlib and stay away
    without it."""
    lines = ["# Rounds", "", f"| {' | '.join(_NAMES)} |", "|" + "---|" * len(_NAMES)]
    lines += [f"| {' | '.join(row)} |" for row in _rows(start, reports)]
    lines += [""]
    lines += [
        f"- Round {each.number} {'promoted' if each.promoted else 'rejected'}: {each.reason}."
        for each in reports
    ]
    if _plots(out, start, reports):
        lines += ["", "![figures by round](rounds.png)", "", "![divergence](divergence.png)"]
    put_text(out / "report.md", "\n".join([*lines, ""]))


def _rows(start: GateFigures, reports: Sequence[RoundReport]) -> list[list[str]]:
    rows = [["start", *(_shown(name, start) for name in _COLUMNS), "", "", ""]]
    for each in reports:
        tokens = "–" if each.tokens_per_pair is None else f"{each.tokens_per_pair:.0f}"
        outcome = "promoted" if each.promoted else "rejected"
        shown = [_shown(name, each.after) for name in _COLUMNS]
        rows.append([str(each.number), *shown, str(each.num_pairs), tokens, outcome])
    return rows


def _shown(name: str, figures: GateFigures) -> str:
    value: Any = getattr(figures, name)
    if value is None:
        return "–"
    return f"{value:.1%}" if name in _SHARES else f"{value:.3g}"


def _plots(out: Path, start: GateFigures, reports: Sequence[RoundReport]) -> bool:
    try:
        from .plots import Axes, curves

        names = ("reasoning_harm", "over_refusal", "utility")
        after = [start, *(each.after for each in reports)]
        lines = {}
        for name in names:
            known = [(n, getattr(each, name)) for n, each in enumerate(after)]
            known = [(n, value) for n, value in known if value is not None]
            lines[_COLUMNS[name]] = ([n for n, _ in known], [value for _, value in known])
        axes = Axes(title="Figures by round", x="round", y="share")
        curves(out / "rounds.png", axes, lines)
        profiles = {
            f"round {each.number}": (
                [BIN_TOKENS * n for n in range(len(each.after.kl_by_position))],
                each.after.kl_by_position,
            )
            for each in reports
        }
        curves(
            out / "divergence.png",
            Axes(
                title="Divergence from the base on its own harmless traces",
                x="generated token",
                y="nats a token",
                unit_y=False,
            ),
            profiles,
        )
    except ImportError:
        return False
    return True
