"""The report on a detector: figures, curves and tables over labelled and harmless traces.

`rerail distill report`: replays every trace through the real runtime, so what is measured is what
will run. Writes `report.json`, `report.md` and two PNG curves.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from ..guard.detector_loading import load_detector
from .curves import draw_curves
from .labels import read_traces
from .metrics import TRACE_FIGURES, Figure, interrupted, with_interval
from .placeholders import masked_trace
from .replay import ReplayedTrace, grouped_by_source, replay
from .run_folder import put_text


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportConfig:
    """One report."""

    traces: tuple[Path, ...]
    """JSON Lines files of traces (`distill.labels`)."""

    out: Path
    """Folder for the report."""

    detector: str = "student"
    """"student" (the shipped one), "keywords", or a student's folder."""

    max_steps: int | None = None
    """Steps of each trace that are replayed; all by default."""

    max_traces: int | None = None
    """Traces of each file that are replayed, its first ones; all by default."""

    num_draws: int = 200
    """Bootstrap draws for the intervals."""

    def __post_init__(self) -> None:
        if not self.traces:
            raise ValueError("traces is empty: name at least one JSON Lines file of traces")


@dataclass(frozen=True, slots=True)
class SourceReport:
    """The figures of one source: of its traces with labels on harmful requests, and of the rest."""

    source: str
    harmful: dict[str, Figure]
    harmless_interrupted: Figure
    safe_interrupted: Figure
    """Of unlabelled, deliberately safe traces on harmful requests."""


def report(config: ReportConfig) -> list[SourceReport]:
    """Replays the traces, writes the report and gives it."""
    traces = []
    for path in config.traces:
        traces.extend(list(read_traces([path]))[: config.max_traces])
    masked = [masked_trace(trace) for trace in traces]
    detector = load_detector(config.detector)
    replayed = replay(detector, masked, max_steps=config.max_steps)
    reports = by_source(replayed, num_draws=config.num_draws)
    write_report(config.out, as_markdown(detector.identity, reports), reports)
    draw_curves(replayed, config.out, num_draws=config.num_draws)
    return reports


def write_report(out: Path, text: str, reports: Sequence[SourceReport]) -> None:
    """Writes `report.md` and `report.json`."""
    out.mkdir(parents=True, exist_ok=True)
    put_text(out / "report.json", json.dumps([asdict(each) for each in reports], indent=1) + "\n")
    put_text(out / "report.md", text)


def by_source(replayed: Sequence[ReplayedTrace], *, num_draws: int = 200) -> list[SourceReport]:
    """The figures of every source, and of all together (source "all")."""
    groups = grouped_by_source(replayed)
    if len(groups) > 1:
        groups["all"] = list(replayed)
    return [_source_report(source, found, num_draws) for source, found in groups.items()]


def _source_report(source: str, found: Sequence[ReplayedTrace], num_draws: int) -> SourceReport:
    labelled = [r for r in found if r.trace.harmful and r.trace.labels is not None]
    harmless = [r for r in found if not r.trace.harmful]
    safe = [r for r in found if r.trace.harmful and r.trace.labels is None]
    return SourceReport(
        source=source,
        harmful={
            name: with_interval(measure, labelled, num_draws=num_draws)
            for name, measure in TRACE_FIGURES.items()
        },
        harmless_interrupted=with_interval(interrupted, harmless, num_draws=num_draws),
        safe_interrupted=with_interval(interrupted, safe, num_draws=num_draws),
    )


def as_markdown(identity: str, reports: Sequence[SourceReport]) -> str:
    """The report as tables."""
    names = list(TRACE_FIGURES)
    lines = [
        f"# {identity}",
        "",
        "Traces on harmful requests, at the default thresholds (95 % bootstrap interval):",
        "",
        "| source | " + " | ".join(names) + " |",
        "|---|" + "---|" * len(names),
    ]
    for entry in reports:
        if any(figure.value is not None for figure in entry.harmful.values()):
            cells = " | ".join(str(entry.harmful[name]) for name in names)
            lines.append(f"| {entry.source} | {cells} |")
    lines += [
        "",
        "Traces interrupted at all:",
        "",
        "| source | harmless | safe on harmful requests |",
        "|---|---|---|",
    ]
    lines += [
        f"| {entry.source} | {entry.harmless_interrupted} | {entry.safe_interrupted} |"
        for entry in reports
    ]
    return "\n".join(lines) + "\n"
