"""Figures over many traces: actions, scores, and how the interventions went.

Figures that every trace has come from the store's summaries, which are cheap; only traces with an
intervention are read whole.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from rich.style import Style

from ..guard import Trace
from ..guard.store_query import TraceSummary
from .lines import Line, Lines, Run, one_line, wrapped
from .themes import Theme
from .trace_render import rule
from .wording import count

NUM_BINS = 20


@dataclass(slots=True)
class Tally:
    """How often something was tried, and how that went."""

    used: int = 0
    worked: int = 0
    """No further cue followed."""

    failed: int = 0
    """A further cue followed. What is neither was cut off before that could be told."""

    def add(self, succeeded: bool | None) -> None:
        """Counts one; `None` where it cannot be told."""
        self.used += 1
        self.worked += succeeded is True
        self.failed += succeeded is False

    @property
    def rate(self) -> float | None:
        """Share that worked, of those where it can be told."""
        told = self.worked + self.failed
        return self.worked / told if told else None


@dataclass(slots=True)
class TraceStats:
    """What `rerail trace stats` shows."""

    num_traces: int = 0
    actions: Counter[str] = field(default_factory=Counter)
    finish_reasons: Counter[str] = field(default_factory=Counter)
    scanned: Counter[str] = field(default_factory=Counter)
    score_bins: list[int] = field(default_factory=lambda: [0] * NUM_BINS)
    """Traces by their highest score, in `NUM_BINS` equal parts of 0..1."""

    unscored: int = 0
    cues_a_trace: Counter[int] = field(default_factory=Counter)
    traces_by_topic: Counter[str] = field(default_factory=Counter)
    by_trigger: dict[str, Tally] = field(default_factory=dict)
    by_kind: dict[str, Tally] = field(default_factory=dict)
    by_topic: dict[str, Tally] = field(default_factory=dict)
    by_channel: dict[str, Tally] = field(default_factory=dict)
    refusals: int = 0
    leaked_tokens: int = 0
    all_triggers: Tally = field(default_factory=Tally)

    def record(self) -> dict[str, Any]:
        """As plain values, for `--json`."""
        record = {each.name: getattr(self, each.name) for each in fields(self)}
        for name in ("by_trigger", "by_kind", "by_topic", "by_channel"):
            tallies: dict[str, Tally] = getattr(self, name)
            record[name] = {key: asdict(t) | {"rate": t.rate} for key, t in tallies.items()}
        record["all_triggers"] = asdict(self.all_triggers) | {"rate": self.all_triggers.rate}
        return record


def gathered(summaries: Iterable[TraceSummary], intervened: Iterable[Trace]) -> TraceStats:
    """Figures over all `summaries`; `intervened` are those of the same traces in which the guard
    stepped in, whole."""
    stats = TraceStats()
    for each in summaries:
        stats.num_traces += 1
        stats.actions[each.action.value] += 1
        stats.finish_reasons[each.finish_reason.value] += 1
        stats.scanned[each.scanned.value] += 1
        stats.leaked_tokens += each.leaked_tokens
        stats.cues_a_trace[each.num_interventions] += 1
        stats.traces_by_topic[each.topic or "(none)"] += 1
        if each.max_score is None:
            stats.unscored += 1
        else:
            stats.score_bins[min(NUM_BINS - 1, int(each.max_score * NUM_BINS))] += 1
    for trace in intervened:
        for each in trace.interventions:
            if each.trigger_id is None:
                stats.refusals += 1
                continue
            topic = trace.topic or "(none)"
            for tallies, key in (
                (stats.by_trigger, each.trigger_id),
                (stats.by_kind, each.trigger_kind or "(none)"),
                (stats.by_topic, topic),
                (stats.by_channel, each.channel.value),
            ):
                tallies.setdefault(key, Tally()).add(each.succeeded)
            stats.all_triggers.add(each.succeeded)
    return stats


def stats_lines(stats: TraceStats, width: int, theme: Theme) -> Lines:
    """The figures, with the distribution of scores as a small plot."""
    if not stats.num_traces:
        return Lines(wrapped([("no traces", theme.quiet)], width))
    lines: list[Line] = [rule("traces", width, theme)]
    lines += wrapped([(_counts(stats.actions, stats.num_traces), Style.null())], width)
    lines += wrapped([(f"ended by: {_counts(stats.finish_reasons)}", Style.null())], width)
    lines += wrapped([(f"scanned: {_counts(stats.scanned)}", Style.null())], width)
    cues = {f"{number}": stats.cues_a_trace[number] for number in sorted(stats.cues_a_trace)}
    lines += wrapped([(f"interventions a trace: {_counts(cues)}", Style.null())], width)
    lines += [[], rule("highest score of a trace", width, theme)]
    lines += histogram(stats.score_bins, width, theme)
    if stats.unscored:
        lines += wrapped(
            [(f"{count(stats.unscored, 'trace')} without a score", theme.quiet)], width
        )
    every = {"all": stats.all_triggers} if stats.all_triggers.used else {}
    for title, tallies in (
        ("trigger", every | _by_use(stats.by_trigger)),
        ("kind of trigger", _by_use(stats.by_kind)),
        ("topic", _by_use(stats.by_topic)),
        ("channel", _by_use(stats.by_channel)),
    ):
        if tallies:
            lines += [[], rule(f"interventions by {title}", width, theme)]
            lines += _tally_lines(tallies, width, theme)
    if stats.refusals:
        words = f"{count(stats.refusals, 'generation')} ended with a refusal or a stop"
        lines += [[], *wrapped([(words, Style.null())], width)]
    return Lines(lines)


def histogram(bins: Sequence[int], width: int, theme: Theme) -> list[Line]:
    """A bar a bin, empty ends left out; counts as numbers, so it reads without the bars."""
    filled = [index for index, number in enumerate(bins) if number]
    if not filled:
        return wrapped([("none was scored", theme.quiet)], width)
    first, last, most = filled[0], filled[-1], max(bins)
    lines: list[Line] = []
    for index in range(first, last + 1):
        low, high = index / len(bins), (index + 1) / len(bins)
        runs: list[Run] = [(f"{low:.2f} to {high:.2f} {bins[index]:>7} ", theme.quiet)]
        if theme.bars:
            room = max(1, min(60, width - 22))
            size = -(-bins[index] * room // most)
            runs.append(("█" * size, theme.level(low) if low >= 0.1 else theme.quiet))
        lines.append(one_line(runs, width))
    return lines


def _tally_lines(tallies: dict[str, Tally], width: int, theme: Theme) -> list[Line]:
    size = max(12, min(32, max(len(name) for name in tallies)))
    head = f"{'':<{size}}   used  worked  a further cue followed"
    lines = [one_line([(head, theme.quiet)], width)]
    for name, tally in tallies.items():
        rate = "-" if tally.rate is None else f"{tally.rate:.0%}"
        shown = name if len(name) <= size else name[: size - 1] + "…"
        runs: list[Run] = [
            (f"{shown:<{size}} {tally.used:>6} ", Style.null()),
            (f"{rate:>7} ", theme.added),
            (f" {tally.failed:>6}", theme.quiet),
        ]
        lines.append(one_line(runs, width))
    return lines


def _by_use(tallies: dict[str, Tally]) -> dict[str, Tally]:
    return dict(sorted(tallies.items(), key=lambda item: (-item[1].used, item[0])))


def _counts(counter: dict[str, int] | Counter[str], total: int | None = None) -> str:
    words = ", ".join(f"{number} {name}" for name, number in counter.items() if number)
    if total is None:
        return ", ".join(f"{name} {number}" for name, number in counter.items() if number)
    return f"{total} traces: {words}"
