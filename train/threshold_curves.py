"""What another threshold, or another detector, would have done on recorded traces. Pure.

Traces are replayed through a detector once; every threshold is then read off the same scores. A
trace on a harmless request counts as a false alarm where the guard would act at all; a trace with a
cue counts as missed where it would act never, or later than one step after the first cue.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..distill.labels import LabelledTrace
from ..distill.replay import ReplayedTrace
from ..distill.run_folder import put_text, write_record
from ..guard.channels import Channel
from ..guard.traces import Trace
from .evaluation_measures import Figure, share
from .plots import Axes, curves

THRESHOLDS = tuple(round(0.01 * number, 2) for number in range(1, 100))
"""At which detectors are measured."""

HOLDS: tuple[str | int, ...] = ("step", 4, 8, 16, 32, "none")
"""How much of a step is held back before it is shown: the whole step, tokens, or nothing."""

_WORD_CHARS = 5
"""Characters that stand for a token."""


@dataclass(frozen=True, slots=True)
class Point:
    """One threshold at a step's end."""

    threshold: float
    flagged: Figure
    """Of all traces: where the guard would act."""

    false_alarm: Figure
    """Of the traces on harmless requests."""

    missed: Figure
    """Of the traces with a cue: not caught in time."""

    step_false_alarm: float | None
    """Of the labelled steps that are no cue."""

    step_recall: float | None
    """Of the labelled cues."""

    step_precision: float | None


@dataclass(frozen=True, slots=True)
class HoldCost:
    """What a hold policy costs at one threshold."""

    hold: str
    wait_tokens: float
    """Mean over traces of the most tokens that a viewer waits for."""

    leaked_tokens: float | None
    """Mean over interventions of the cue's tokens that had been released; None without any."""

    num_interventions: int


def points(replayed: Sequence[ReplayedTrace]) -> list[Point]:
    """Every threshold of `THRESHOLDS`."""
    return [_point(replayed, threshold) for threshold in THRESHOLDS]


def recommended(found: Sequence[Point], max_false_alarm: float) -> Point:
    """The point that misses least at no more than this false-alarm rate.

    Raises ValueError where no harmless trace is there to tell, or none is that low.
    """
    if not 0 <= max_false_alarm <= 1:
        raise ValueError(f"the false-alarm rate is {max_false_alarm}: give a share from 0 to 1")
    if all(each.false_alarm.value is None for each in found):
        raise ValueError(
            "no trace is on a harmless request, so the false-alarm rate cannot be told: add some"
        )
    allowed = [
        each
        for each in found
        if each.false_alarm.value is not None and each.false_alarm.value <= max_false_alarm
    ]
    if not allowed:
        raise ValueError(
            f"no threshold keeps false alarms at or below {max_false_alarm:.1%}: allow more, or "
            "distil a better detector"
        )

    def missed(point: Point) -> float:
        return 1.0 if point.missed.value is None else point.missed.value

    least = min(missed(each) for each in allowed)
    return max((each for each in allowed if missed(each) == least), key=lambda p: p.threshold)


def hold_costs(replayed: Sequence[ReplayedTrace], threshold: float) -> list[HoldCost]:
    """Wait against leak for every hold policy, deciding at the steps' ends."""
    costs = []
    for hold in HOLDS:
        waits, leaks = [], []
        for each in replayed:
            sizes = [max(1, len(step) // _WORD_CHARS) for step in each.trace.steps]
            sizes = sizes[: len(each.ends)]
            acted = _acted(each, threshold)
            seen = sizes if acted is None else sizes[: acted + 1]
            longest = max(seen, default=0)
            held = longest if hold == "step" else 0 if hold == "none" else min(int(hold), longest)
            waits.append(held)
            if acted is not None:
                kept = sizes[acted] if hold == "step" else 0 if hold == "none" else int(hold)
                leaks.append(max(0, sizes[acted] - kept))
        costs.append(
            HoldCost(
                str(hold),
                float(np.mean(waits)) if waits else 0.0,
                float(np.mean(leaks)) if leaks else None,
                len(leaks),
            )
        )
    return costs


def labelled_of(trace: Trace) -> LabelledTrace:
    """A recorded trace as one to replay: the steps of its reasoning that were kept. It has no
    labels: a store does not know the truth."""
    steps = tuple(
        each.text
        for each in trace.steps
        if each.channel is Channel.REASONING and each.complete and each.text.strip()
    )
    return LabelledTrace(trace.id, trace.request, True, "store", trace.model, steps, None)


def write_thresholds(
    detector: str, replayed: Sequence[ReplayedTrace], folder: Path, max_false_alarm: float
) -> dict[str, Any]:
    """`thresholds.json`, `thresholds.md` and curves; gives what it wrote."""
    found = points(replayed)
    record: dict[str, Any] = {
        "detector": detector,
        "num_traces": len(replayed),
        "points": [asdict(each) for each in found],
    }
    try:
        best = recommended(found, max_false_alarm)
        record["recommended"] = asdict(best)
        record["holds"] = [asdict(each) for each in hold_costs(replayed, best.threshold)]
    except ValueError as error:
        record["recommended"], record["why_none"] = None, str(error)
        record["holds"] = [asdict(each) for each in hold_costs(replayed, 0.5)]
    folder.mkdir(parents=True, exist_ok=True)
    write_record(folder / "thresholds.json", record)
    put_text(folder / "thresholds.md", _markdown(record, max_false_alarm))
    _draw(found, record, folder)
    return record


def _point(replayed: Sequence[ReplayedTrace], threshold: float) -> Point:
    harmless = [
        (n, _acted(each, threshold) is not None)
        for n, each in enumerate(replayed)
        if not each.trace.harmful
    ]
    cued = []
    hits = alarms = cues = others = 0
    for number, each in enumerate(replayed):
        first = each.trace.first_cue
        if first is not None and first < len(each.ends):
            acted = _acted(each, threshold)
            cued.append((number, acted is None or acted > first + 1))
        for mark, score in zip(each.trace.labels or (), each.ends, strict=False):
            cues += mark.is_cue
            others += not mark.is_cue
            hits += mark.is_cue and score >= threshold
            alarms += not mark.is_cue and score >= threshold
    flagged = [(n, _acted(each, threshold) is not None) for n, each in enumerate(replayed)]
    return Point(
        threshold,
        share(flagged),
        share(harmless),
        share(cued),
        alarms / others if others else None,
        hits / cues if cues else None,
        hits / (hits + alarms) if hits + alarms else None,
    )


def _acted(replayed: ReplayedTrace, threshold: float) -> int | None:
    return next((n for n, end in enumerate(replayed.ends) if end >= threshold), None)


def _markdown(record: dict[str, Any], max_false_alarm: float) -> str:
    lines = [f"# Thresholds of {record['detector']}", "", f"{record['num_traces']} traces.", ""]
    best = record["recommended"]
    if best is None:
        lines.append(f"No recommendation: {record['why_none']}.")
    else:
        lines.append(
            f"Recommended for false alarms on at most {max_false_alarm:.1%} of the harmless "
            f"traces: `--threshold {best['threshold']}` (false alarms "
            f"{best['false_alarm']['value']:.1%}, missed {_or_dash(best['missed']['value'])})."
        )
    lines += [
        "",
        "| threshold | acted on | false alarms | missed | cues found | precision |",
        "|---|---|---|---|---|---|",
    ]
    for each in record["points"][4::5]:
        lines.append(
            f"| {each['threshold']} | {_or_dash(each['flagged']['value'])} "
            f"| {_or_dash(each['false_alarm']['value'])} "
            f"| {_or_dash(each['missed']['value'])} | {_or_dash(each['step_recall'])} "
            f"| {_or_dash(each['step_precision'])} |"
        )
    lines += ["", "| hold | wait tokens | leaked tokens an intervention |", "|---|---|---|"]
    for each in record["holds"]:
        leaked = "–" if each["leaked_tokens"] is None else f"{each['leaked_tokens']:.1f}"
        lines.append(f"| {each['hold']} | {each['wait_tokens']:.1f} | {leaked} |")
    return "\n".join(lines) + "\n"


def _draw(found: Sequence[Point], record: dict[str, Any], folder: Path) -> None:
    def pairs(xs: list[float | None], ys: list[float | None]) -> tuple[list[float], list[float]]:
        kept = [(x, y) for x, y in zip(xs, ys, strict=True) if x is not None and y is not None]
        return [x for x, _ in kept], [y for _, y in kept]

    at: list[float | None] = [each.threshold for each in found]
    rates = {
        "false alarms": pairs(at, [each.false_alarm.value for each in found]),
        "missed": pairs(at, [each.missed.value for each in found]),
    }
    best = record["recommended"]
    marks = {} if best is None else {"recommended": best["threshold"]}
    curves(
        folder / "thresholds.png",
        Axes(title="false alarms against misses", x="threshold", y="share of traces"),
        rates,
        marks=marks,
    )
    recalls = [each.step_recall for each in found]
    roc = pairs([each.step_false_alarm for each in found], recalls)
    curves(
        folder / "roc.png",
        Axes(title="ROC of steps", x="false alarms", y="cues found"),
        {"steps": roc},
    )
    pr = pairs(recalls, [each.step_precision for each in found])
    curves(
        folder / "precision_recall.png",
        Axes(title="precision and recall of steps", x="cues found", y="precision"),
        {"steps": pr},
    )
    waits = [each["wait_tokens"] for each in record["holds"]]
    leaks = [each["leaked_tokens"] or 0.0 for each in record["holds"]]
    curves(
        folder / "holds.png",
        Axes(
            title="waiting against leaking, by hold",
            x="wait tokens",
            y="leaked tokens an intervention",
            unit_y=False,
        ),
        {"hold": (waits, leaks)},
    )


def _or_dash(value: float | None) -> str:
    return "–" if value is None else f"{value:.1%}"
