"""Two traces of one request side by side, aligned by step: base and trained, guarded and not.

Steps are matched on their words, in order. A run of steps that has no equal on the other side
stands beside what the other side has in its place, step by step.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from enum import StrEnum

from rich.segment import Segment
from rich.style import Style

from ..guard import Channel, Trace
from .lines import Line, Lines, Run, beside, indented, padded, wrapped
from .story import Kind, Row, Story
from .themes import Theme
from .trace_render import MIN_WIDTH, SIDE_BY_SIDE, labelled, row_lines, rule
from .wording import CHANNELS, action_words, facts, headline


class Change(StrEnum):
    """How two steps compare."""

    SAME = "same"
    DIFFERENT = "different"
    ONLY_A = "only in A"
    ONLY_B = "only in B"


@dataclass(frozen=True, slots=True)
class Aligned:
    """One line of the comparison."""

    change: Change
    a: Row | None
    b: Row | None


def aligned(a: Sequence[Row], b: Sequence[Row]) -> Iterator[Aligned]:
    """The rows of two stories, pair by pair, in order; every row comes once."""
    matcher = SequenceMatcher(None, [_key(row) for row in a], [_key(row) for row in b], False)
    for tag, a_start, a_end, b_start, b_end in matcher.get_opcodes():
        left, right = a[a_start:a_end], b[b_start:b_end]
        if tag == "equal":
            yield from (Aligned(Change.SAME, *rows) for rows in zip(left, right, strict=True))
            continue
        for index in range(max(len(left), len(right))):
            row_a = left[index] if index < len(left) else None
            row_b = right[index] if index < len(right) else None
            if row_b is None:
                yield Aligned(Change.ONLY_A, row_a, None)
            elif row_a is None:
                yield Aligned(Change.ONLY_B, None, row_b)
            else:
                yield Aligned(Change.DIFFERENT, row_a, row_b)


def render_diff(a: Trace, b: Trace, width: int, theme: Theme) -> Lines:
    """The comparison; in one column where there is no room for two."""
    width = max(MIN_WIDTH, width)
    stories = Story.of(a), Story.of(b)
    pairs = list(aligned(stories[0].rows, stories[1].rows))
    lines = _header(a, b, pairs, width, theme)
    if theme.side_by_side and width >= SIDE_BY_SIDE:
        lines += _two_columns(stories, pairs, width, theme)
    else:
        lines += _one_column(stories, pairs, width, theme)
    lines += [[], rule("facts", width, theme)]
    other = dict(facts(b))
    for name, value in facts(a):
        if value == other.get(name, ""):
            lines += labelled(name, [(value, Style.null())], width, theme)
        else:
            for letter, each in (("A", value), ("B", other.get(name, "-"))):
                lines += labelled(f"{name} {letter}", [(each, Style.null())], width, theme)
    return Lines(lines)


def _header(a: Trace, b: Trace, pairs: Sequence[Aligned], width: int, theme: Theme) -> list[Line]:
    lines: list[Line] = []
    for letter, trace in (("A", a), ("B", b)):
        runs: list[Run] = [
            (f"{letter}  ", theme.word),
            (action_words(trace.action), theme.actions[trace.action]),
            (f"  {trace.model}, trace {trace.id}. {headline(trace)}", Style.null()),
        ]
        lines += wrapped(runs, width)
    if a.request == b.request:
        lines += [[], *labelled("request", [(a.request, Style.null())], width, theme)]
    else:
        lines += [[], *wrapped([("The requests differ.", theme.alarm)], width)]
        lines += labelled("request A", [(a.request, Style.null())], width, theme)
        lines += labelled("request B", [(b.request, Style.null())], width, theme)
    counts = {change: sum(pair.change is change for pair in pairs) for change in Change}
    words = ", ".join(f"{number} {change.value}" for change, number in counts.items() if number)
    return [*lines, *labelled("steps", [(words or "none", Style.null())], width, theme)]


def _two_columns(
    stories: tuple[Story, Story], pairs: Sequence[Aligned], width: int, theme: Theme
) -> list[Line]:
    left_width = (width - 3) // 2
    right_width = width - 3 - left_width
    title = padded([Segment("A", theme.word)], left_width)
    lines: list[Line] = [[], [*title, Segment(" │ ", theme.quiet), Segment("B", theme.word)]]
    marks = {
        Change.SAME: " = ",
        Change.DIFFERENT: " ≠ ",
        Change.ONLY_A: " < ",
        Change.ONLY_B: " > ",
    }
    shown = None
    for pair in pairs:
        channel = _channel(pair)
        if channel is not None and channel is not shown:
            shown = channel
            lines.append(rule(CHANNELS[channel], width, theme))
        left = [] if pair.a is None else row_lines(stories[0], pair.a, left_width, theme)
        right = [] if pair.b is None else row_lines(stories[1], pair.b, right_width, theme)
        style = theme.quiet if pair.change is Change.SAME else theme.alarm
        block = beside(left, right, left_width, (marks[pair.change], style))
        lines += block
    return lines


def _one_column(
    stories: tuple[Story, Story], pairs: Sequence[Aligned], width: int, theme: Theme
) -> list[Line]:
    lines: list[Line] = []
    shown = None
    for pair in pairs:
        channel = _channel(pair)
        if channel is not None and channel is not shown:
            shown = channel
            lines += [[], rule(CHANNELS[channel], width, theme)]
        sides = [("both", 0, pair.a)] if pair.change is Change.SAME else []
        if not sides:
            sides = [("A", 0, pair.a), ("B", 1, pair.b)]
        for name, side, row in sides:
            if row is None:
                continue
            style = theme.quiet if name == "both" else theme.alarm if side == 0 else theme.added
            first: list[Run] = [(f"{name:<5}", style)]
            rows = row_lines(stories[side], row, width - 5, theme)
            lines += indented(rows, first, first)
    return lines


def _channel(pair: Aligned) -> Channel | None:
    row = pair.a or pair.b
    return row.channel if row is not None else None


def _key(row: Row) -> tuple[object, ...]:
    """What two rows have to share to be the same step; scores may differ."""
    return row.kind is Kind.REMOVED, row.channel, " ".join(row.text.lower().split())
