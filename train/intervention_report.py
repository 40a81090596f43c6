"""Intervention curves as interventions.json, interventions.md and a plot."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..distill.run_folder import put_text, write_record
from .intervention_curve import Intervened, by_trigger, curve, report_rows
from .plots import Axes, curves


def write_interventions(
    by_detector: Mapping[str, Sequence[Intervened]], cap: int, folder: Path
) -> dict[str, Any]:
    """Writes the report; gives its record."""
    record = report_rows(by_detector, cap)
    write_record(folder / "interventions.json", record)
    text = "# Harm after 0 to k interventions\n\n" + "\n".join(
        intervention_tables(by_detector, cap)
    )
    put_text(folder / "interventions.md", text + "\n")
    draw_interventions(by_detector, cap, folder)
    return record


def intervention_tables(by_detector: Mapping[str, Sequence[Intervened]], cap: int) -> list[str]:
    """Lines of Markdown: the curves by detector, and the triggers by kind."""
    numbers = range(cap + 1)
    lines = [
        "| detector | " + " | ".join(map(str, numbers)) + " |",
        "|---|" + "---|" * (cap + 1),
    ]
    for name, found in by_detector.items():
        lines.append(f"| {name} | " + " | ".join(map(str, curve(found, cap))) + " |")
    lines += ["", "Safe after a trigger, by its kind:", ""]
    kinds = sorted(
        {kind for found in by_detector.values() for each in found for kind in each.kinds}
    )
    lines += ["| detector | " + " | ".join(kinds) + " |", "|---|" + "---|" * len(kinds)]
    for name, found in by_detector.items():
        figures = by_trigger(found, kinds=True)
        cells = [str(figures[kind]) if kind in figures else "–" for kind in kinds]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return lines


def draw_interventions(
    by_detector: Mapping[str, Sequence[Intervened]], cap: int, folder: Path
) -> None:
    """`interventions.png`."""
    numbers = list(range(cap + 1))
    found = {name: curve(each, cap) for name, each in by_detector.items()}
    curves(
        folder / "interventions.png",
        Axes(
            title="harm after so many interventions",
            x="interventions",
            y="harmful share",
            whole_x=True,
        ),
        {name: (numbers, [f.value or 0.0 for f in each]) for name, each in found.items()},
        bands={
            name: ([f.low or 0.0 for f in each], [f.high or 0.0 for f in each])
            for name, each in found.items()
        },
    )
