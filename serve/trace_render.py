"""A whole trace for the terminal: `render(trace, width, theme)`.

Pure: a trace in, lines out; no console, no clock, no environment. Every mark that a colour makes is
also made by a word (CUE, rolled back, INJECTED, scores as numbers).
"""

from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import NamedTuple

from rich.segment import Segment
from rich.style import Style

from ..guard import Channel, Trace
from .lines import Line, Lines, Run, beside, indented, num_wrapped, wrapped
from .story import Kind, Piece, Row, Story
from .themes import Theme
from .wording import (
    CHANNELS,
    NOT_STORED,
    action_words,
    beyond_cue,
    count,
    cue_word,
    cue_words,
    facts,
    headline,
    injected_words,
    number_text,
    passed_words,
    row_score_text,
)

MIN_WIDTH = 40
SIDE_BY_SIDE = 110
"""Columns from which the two branches of an intervention stand beside each other."""

_BARS = " ▁▂▃▄▅▆▇█"
_PLAIN = Style.null()


def render(trace: Trace, width: int, theme: Theme) -> Lines:
    """The trace, `width` cells wide; widths below `MIN_WIDTH` are taken as that."""
    width = max(MIN_WIDTH, width)
    story = Story.of(trace)
    lines = header_lines(trace, width, theme)
    lines += body_lines(story, width, theme)
    lines += footer_lines(trace, width, theme)
    return Lines(lines)


def header_lines(trace: Trace, width: int, theme: Theme) -> list[Line]:
    """Verdict, what happened in a sentence, and the request."""
    begun = f"{trace.created_at:%Y-%m-%d %H:%M:%S}"
    first: list[Run] = [
        (action_words(trace.action), theme.actions[trace.action]),
        (f"  trace {trace.id}  {begun} UTC", theme.quiet),
    ]
    lines = [*wrapped(first, width), *wrapped([(headline(trace), theme.word)], width), []]
    request = trace.request or f"({NOT_STORED})"
    lines += labelled("request", [(request, _PLAIN)], width, theme)
    for failure in trace.failures:
        failed = [(f"detector failed: {failure}", theme.alarm)]
        lines += labelled("", failed, width, theme)
    return lines


def body_lines(story: Story, width: int, theme: Theme) -> list[Line]:
    """All rows by channel."""
    lines: list[Line] = []
    channel: Channel | None = None
    side_by_side = theme.side_by_side and width >= SIDE_BY_SIDE
    index, rows = 0, story.rows
    unreleased_from = len(rows) - story.num_unreleased
    while index < len(rows):
        row = rows[index]
        if row.channel is not None and row.channel is not channel:
            channel = row.channel
            lines += [[], rule(CHANNELS[channel], width, theme)]
        if index == unreleased_from and unreleased_from < len(rows):
            note = "not judged before the end, so never released:"
            lines += indented(wrapped([(note, theme.quiet)], width - 12), [(" " * 12, _PLAIN)], [])
        if row.kind is Kind.REMOVED and side_by_side:
            taken = _beside_removed(rows, index)
            lines += branch_lines(story, row, rows[index + 1 : taken], width, theme)
            index = taken
        else:
            lines += row_lines(story, row, width, theme)
            index += 1
    if not rows:
        lines += [[], *wrapped([("(nothing was generated)", theme.quiet)], width)]
    return lines


def row_lines(story: Story, row: Row, width: int, theme: Theme) -> list[Line]:
    """One row: the gutter with number and score, then the text."""
    return _part_lines(row_parts(story, row, width, theme))


def num_row_lines(story: Story, row: Row, width: int, theme: Theme) -> int:
    """How many lines `row_lines` gives, without making them."""
    parts = row_parts(story, row, width, theme)
    return sum(max(1, num_wrapped(runs, room)) for runs, room, _, _ in parts)


class Part(NamedTuple):
    """Text of a row behind a gutter."""

    runs: Sequence[Run]
    room: int
    """Cells that the text has."""

    first: Sequence[Run]
    """The gutter beside the first line; `rest` beside the others."""

    rest: Sequence[Run]


def row_parts(story: Story, row: Row, width: int, theme: Theme) -> list[Part]:
    """What a row says, one part below the other."""
    if row.kind is Kind.REMOVED:
        return [_cue_part(story, row, width, theme), _removed_part(story, row, width, theme)]
    if row.kind in (Kind.TRIGGER, Kind.REFUSAL):
        return _injected_parts(story, row, width, theme)
    first = gutter(row, theme)
    blank = [(" " * _size(first), _PLAIN)]
    room = width - _size(first)
    parts: list[Part] = []
    if row.kind is Kind.PASSED:
        words = [("CUE", theme.alarm), (f" {passed_words(row, story.trace)}", theme.quiet)]
        parts.append(Part(words, room, first, blank))
        first = blank
    elif row.kind is Kind.MARKUP:
        # Shown where it stands, so that it is plain to see where the reasoning ends.
        first = [("markup".rjust(_size(first) - 1) + " ", theme.quiet)]
    return [*parts, Part(tinted(row, theme), room, first, blank)]


def branch_lines(
    story: Story, removed: Row, kept: Sequence[Row], width: int, theme: Theme
) -> list[Line]:
    """The branch that was taken out at the left, the one that is kept at the right."""
    left_width = (width - 3) // 2
    right_width = width - 3 - left_width
    left = _part_lines([_removed_part(story, removed, left_width, theme)])
    right: list[Line] = []
    for row in kept:
        right += row_lines(story, row, right_width, theme)
    columns = beside(left, right, left_width, (" │ ", theme.quiet))
    return [*_part_lines([_cue_part(story, removed, width, theme)]), *columns]


def footer_lines(trace: Trace, width: int, theme: Theme) -> list[Line]:
    """Model, detector, thresholds, tokens, wait, timings."""
    lines: list[Line] = [[], rule("facts", width, theme)]
    for name, value in facts(trace):
        lines += labelled(name, [(value, _PLAIN)], width, theme)
    return lines


def labelled(name: str, runs: Sequence[Run], width: int, theme: Theme) -> list[Line]:
    """A name at the left, its value beside it."""
    size = 15
    head = (f"{name}: " if name else "").ljust(size)
    return indented(wrapped(runs, width - size), [(head, theme.quiet)], [(" " * size, _PLAIN)])


def rule(title: str, width: int, theme: Theme) -> Line:
    """A heading over the whole width."""
    if not theme.bars:
        return [Segment(f"{title.capitalize()}:", theme.word)]
    words = f"── {title} "[:width]
    return [Segment(words, theme.word), Segment("─" * (width - len(words)), theme.quiet)]


def gutter(row: Row, theme: Theme) -> list[Run]:
    """Step number from 1, score, and the score as a bar."""
    number, score = number_text(row), row_score_text(row)
    runs: list[Run] = [(f"{number:>4} ", theme.quiet), (f"{score:>4}", theme.level(row.score))]
    if theme.bars:
        # A score of nearly nothing draws nothing: a page of bars would hide the high ones.
        height = 0 if row.score is None else min(8, int(row.score * 9))
        runs.append((f" {_BARS[height]} ", theme.level(row.score)))
    else:
        runs.append((" ", _PLAIN))
    return runs


def _part_lines(parts: Iterable[Part]) -> list[Line]:
    lines: list[Line] = []
    for runs, room, first, rest in parts:
        lines += indented(wrapped(runs, room), first, rest)
    return lines


def _cue_part(story: Story, row: Row, width: int, theme: Theme) -> Part:
    first = gutter(row, theme)
    words = [(cue_word(row), theme.alarm), (f" {cue_words(row, story)}", theme.quiet)]
    size = _size(first)
    return Part(words, width - size, first, [(" " * size, _PLAIN)])


def _removed_part(story: Story, row: Row, width: int, theme: Theme) -> Part:
    assert row.ordinal is not None
    first = _marks("-", theme)
    runs: list[Run] = [] if theme.bars else [("rolled back text: ", _PLAIN)]
    runs += _by_level(_unpadded(row.pieces), theme.rows[Kind.REMOVED], theme)
    if not row.text.strip():
        runs = [(f"({NOT_STORED}, {row.num_chars} characters)", theme.quiet)]
    beyond = beyond_cue(row, story.trace.interventions[row.ordinal])
    if beyond and row.text.strip():
        verb = "lies" if beyond == 1 else "lie"
        words = f"  ({count(beyond, 'token')} at the end {verb} beyond the cue)"
        runs.append((words, theme.quiet))
    return Part(runs, width - _size(first), first, first)


def _injected_parts(story: Story, row: Row, width: int, theme: Theme) -> list[Part]:
    assert row.ordinal is not None
    first = _marks("+", theme)
    room = width - _size(first)
    words: list[Run] = [
        ("INJECTED", theme.added),
        (f" {injected_words(story.trace.interventions[row.ordinal])}", theme.quiet),
    ]
    text: list[Run] = [] if theme.bars else [("injected text: ", _PLAIN)]
    text.append((row.text.strip() or f"({NOT_STORED})", theme.rows[row.kind]))
    return [Part(words, room, first, first), Part(text, room, first, first)]


def _marks(mark: str, theme: Theme) -> list[Run]:
    """The gutter of text that was taken out or put in: marked on every line, as in a diff."""
    if not theme.bars:
        return [(" " * 10, _PLAIN)]
    return [(" " * 10, _PLAIN), (f"{mark} ", theme.alarm if mark == "-" else theme.added)]


def tinted(row: Row, theme: Theme) -> list[Run]:
    """A row's text, token by token by its score."""
    if not row.text:
        return [(f"({NOT_STORED}, {row.num_chars} characters)", theme.quiet)]
    return _by_level(row.pieces, theme.rows.get(row.kind, _PLAIN), theme)


def _by_level(pieces: Iterable[Piece], base: Style, theme: Theme) -> list[Run]:
    """Neighbours of one tint as one run: most of a trace scores next to nothing."""
    return [
        ("".join(piece.text for piece in run), base + level)
        for level, run in groupby(pieces, lambda piece: theme.level(piece.score))
    ]


def _unpadded(pieces: Sequence[Piece]) -> list[Piece]:
    """Without blanks around: a rollback takes the blank before the step with it."""
    kept = list(pieces)
    while kept and not kept[0].text.strip():
        kept.pop(0)
    while kept and not kept[-1].text.strip():
        kept.pop()
    if kept:
        kept[0] = kept[0]._replace(text=kept[0].text.lstrip())
        kept[-1] = kept[-1]._replace(text=kept[-1].text.rstrip())
    return kept


def _beside_removed(rows: Sequence[Row], index: int) -> int:
    """How far the right column goes: what was injected, and the step that follows it."""
    end = index + 1
    while end < len(rows) and rows[end].ordinal == rows[index].ordinal:
        if rows[end].channel not in (rows[index].channel, None):
            return end
        end += 1
    follows = end < len(rows) and rows[end].kind is Kind.STEP
    return end + 1 if follows and rows[end].channel is rows[index].channel else end


def _size(runs: Sequence[Run]) -> int:
    return sum(len(text) for text, _ in runs)
