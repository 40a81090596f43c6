"""CSR measurements as csr.json, csr.md and plots; arms (before, after training) in one figure."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..distill.run_folder import put_text, write_record
from .csr_trace import CsrTrace, cue_correlation, mean_curve, trigger_share
from .evaluation_measures import share
from .plots import Axes, curves, points


def csr_record(traces: Sequence[CsrTrace]) -> dict[str, Any]:
    """The figures of one arm."""
    settled = [each for each in traces if each.turning_point is not None]
    return {
        "num_traces": len(traces),
        "unsafe": share([(each.id, each.unsafe) for each in traces]).to_row(),
        "settled": len(settled),
        "settled_safe": sum(bool(each.settled_safe) for each in settled),
        "settled_by_request": sum(each.turning_point == 0 for each in settled),
        "pearson_cue_turning": cue_correlation(traces).to_row(),
        "pearson_cue_turning_within": cue_correlation(traces, turned=True).to_row(),
        "pearson_cue_end_turning": cue_correlation(traces, at_end=True).to_row(),
        "trigger_share_safe": trigger_share(traces).to_row(),
        "mean_first_cue": _mean([each.first_cue for each in traces]),
        "mean_first_trigger": _mean([each.first_trigger for each in traces]),
        "mean_turning_point": _mean([each.turning_point for each in settled]),
    }


def write_csr(by_arm: Mapping[str, Sequence[CsrTrace]], folder: Path) -> dict[str, Any]:
    """Writes the report; gives its record."""
    record = {arm: csr_record(traces) for arm, traces in by_arm.items()}
    write_record(folder / "csr.json", record)
    lines = [
        "# Continuation safety ratio",
        "",
        "| | " + " | ".join(record) + " |",
        "|---|" + "---|" * len(record),
    ]
    rows = {
        "traces": [str(each["num_traces"]) for each in record.values()],
        "unsafe traces": [
            share([(each.id, each.unsafe) for each in traces]).short for traces in by_arm.values()
        ],
        "settled": [
            f"{each['settled']} ({each['settled_safe']} safe; {each['settled_by_request']} by the "
            "request alone)"
            for each in record.values()
        ],
        "Pearson, first cue and turning point": [
            str(cue_correlation(each)) for each in by_arm.values()
        ],
        "the same, where the reasoning turned it": [
            str(cue_correlation(each, turned=True)) for each in by_arm.values()
        ],
        "safe traces with a trigger": [str(trigger_share(each)) for each in by_arm.values()],
        "mean token of the first cue": [_number(r["mean_first_cue"]) for r in record.values()],
        "mean token of the first trigger": [
            _number(r["mean_first_trigger"]) for r in record.values()
        ],
        "mean turning point": [_number(each["mean_turning_point"]) for each in record.values()],
    }
    lines += [f"| {name} | " + " | ".join(cells) + " |" for name, cells in rows.items()]
    put_text(folder / "csr.md", "\n".join(lines) + "\n")
    draw_csr(by_arm, folder)
    return record


def draw_csr(by_arm: Mapping[str, Sequence[CsrTrace]], folder: Path) -> None:
    """`csr.png`, the mean ratio by position of all arms in one figure; `turning_points.png`."""
    places = sorted({place for each in by_arm.values() for t in each for place in t.positions})
    curves(
        folder / "csr.png",
        Axes(
            title="continuation safety ratio",
            x="token of the reasoning",
            y="share of safe continuations",
        ),
        {arm: (places, mean_curve(traces, places)) for arm, traces in by_arm.items()},
    )
    pairs = {
        arm: [
            (each.first_cue, each.turning_point)
            for each in traces
            if each.first_cue is not None and each.settled_safe is False
        ]
        for arm, traces in by_arm.items()
    }
    points(
        folder / "turning_points.png",
        Axes(
            title="first cue and turning point",
            x="token of the first cue",
            y="token of the turning point",
        ),
        {
            arm: ([float(x) for x, _ in found], [float(y or 0) for _, y in found])
            for arm, found in pairs.items()
        },
    )


def _mean(values: Sequence[int | None]) -> float | None:
    known = [each for each in values if each is not None]
    return sum(known) / len(known) if known else None


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.1f}"
