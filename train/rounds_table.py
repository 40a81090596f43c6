"""Several runs of rounds in one table: the mean over seeds, with the spread."""

import statistics
from collections.abc import Sequence
from pathlib import Path

from ..distill.run_folder import inside, read_as
from .gate_figures import GateFigures
from .round_report import RoundReport
from .start import FILE as START

_FIGURES = {
    "reasoning_harm": "harmful reasoning",
    "answer_harm": "harmful answers",
    "over_refusal": "over-refusal",
    "utility": "tasks solved",
    "kl": "KL from base",
    "interventions_per_100": "interventions in 100",
    "self_detector": "self-detector",
}


def runs_table(folders: Sequence[Path]) -> str:
    """A Markdown table: before, and after each round, over all runs; a rejected round counts with
    the model that went on in its place.

    Raises ValueError for a folder without a finished round, and for one whose records are damaged
    or lead out of it.
    """
    runs = [_course(folder) for folder in folders]
    num_rounds = min(len(course) for course in runs)
    lines = [
        f"| | {' | '.join(_FIGURES.values())} |",
        "|" + "---|" * (len(_FIGURES) + 1),
    ]
    for number in range(num_rounds):
        shown = [_mean(name, [course[number] for course in runs]) for name in _FIGURES]
        title = "before" if number == 0 else f"after round {number}"
        lines.append(f"| {title} | {' | '.join(shown)} |")
    return "\n".join(lines)


def _course(folder: Path) -> list[GateFigures]:
    start = read_as(folder / START, lambda record: GateFigures.from_row(record["figures"]))
    reports = []
    while (report := RoundReport.read(inside(folder, f"round-{len(reports) + 1}"))) is not None:
        reports.append(report)
    if start is None or not reports:
        raise ValueError(
            f"{folder} holds no finished round: run `rerail train rounds --out {folder}`"
        )
    course = [start]
    for report in reports:
        course.append(report.after if report.promoted else course[-1])
    return course


def _mean(name: str, found: Sequence[GateFigures]) -> str:
    values = [getattr(each, name) for each in found]
    known = [value for value in values if value is not None]
    if not known:
        return "–"
    spread = statistics.stdev(known) if len(known) > 1 else None
    share = name not in ("kl", "interventions_per_100")
    shown = [f"{value:.1%}" if share else f"{value:.2f}" for value in (statistics.mean(known),)]
    if spread is not None:
        shown.append(f"± {spread:.1%}" if share else f"± {spread:.2f}")
    return " ".join(shown)
