"""Lines of styled text, wrapped to a width. Much faster than a table for a trace of 20,000 tokens.

A line is a list of rich segments without its line break, never wider than was asked for. Texts are
made harmless here (`visible`), so nothing that is drawn through this file can reach a terminal raw.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from rich.cells import cell_len, get_character_cell_size
from rich.console import Console, ConsoleOptions, RenderResult
from rich.segment import Segment
from rich.style import Style

from .visible import visible

Run = tuple[str, Style]
Line = list[Segment]

_WORD = re.compile(r"\n| *[^ \n]+|[ ]+")


@dataclass(frozen=True, slots=True)
class Lines:
    """A renderable: lines as they are."""

    lines: Sequence[Line]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for line in self.lines:
            yield from line
            yield Segment.line()


def wrapped(runs: Iterable[Run], width: int) -> list[Line]:
    """`runs` in lines of at most `width` cells; breaks at blanks where there are any."""
    safe = [(_plain(text), style) for text, style in runs if text]
    text = "".join(each for each, _ in safe)
    bounds = _bounds(text, max(1, width))
    return list(_cut(safe, bounds))


def num_wrapped(runs: Iterable[Run], width: int) -> int:
    """How many lines `wrapped` gives."""
    return len(_bounds("".join(_plain(text) for text, _ in runs), max(1, width)))


def one_line(runs: Iterable[Run], width: int) -> Line:
    """The runs on one line, cut with an ellipsis where there is no room for all of them."""
    line = [Segment(_plain(text.replace("\n", " ")), style) for text, style in runs if text]
    if width_of(line) <= width:
        return line
    kept: Line = []
    room = max(0, width - 1)
    for segment in line:
        size = cell_len(segment.text)
        if size > room:
            kept.append(Segment(_fitting(segment.text, room), segment.style))
            break
        kept.append(segment)
        room -= size
    return [*kept, Segment("…")]


def indented(lines: Sequence[Line], first: Sequence[Run], rest: Sequence[Run]) -> list[Line]:
    """`lines` behind a gutter: `first` beside the first one, `rest` beside the others."""
    head = [Segment(_plain(text), style) for text, style in first]
    more = [Segment(_plain(text), style) for text, style in rest]
    if not lines:
        return [head]
    return [[*(more if index else head), *line] for index, line in enumerate(lines)]


def padded(line: Line, width: int) -> Line:
    """`line` filled up with blanks."""
    missing = width - width_of(line)
    return [*line, Segment(" " * missing)] if missing > 0 else line


def beside(left: Sequence[Line], right: Sequence[Line], width: int, between: Run) -> list[Line]:
    """Two columns; the left one is `width` cells wide."""
    bar = Segment(*between)
    rows = max(len(left), len(right))
    return [
        [
            *padded(left[index] if index < len(left) else [], width),
            bar,
            *(right[index] if index < len(right) else []),
        ]
        for index in range(rows)
    ]


def width_of(line: Line) -> int:
    """How many columns of a terminal it takes."""
    return sum(cell_len(segment.text) for segment in line)


def text_of(lines: Iterable[Line]) -> str:
    """The plain text, trailing blanks left out."""
    return "".join("".join(s.text for s in line).rstrip() + "\n" for line in lines)


@lru_cache(maxsize=8192)
def _plain(text: str) -> str:
    return visible(text).replace("\t", "    ")


def _bounds(text: str, width: int) -> list[tuple[int, int]]:
    """Start and end of every line in `text`; the blanks at a break are left out."""
    narrow = text.isascii()
    if narrow and len(text) <= width and "\n" not in text:
        return [(0, len(text.rstrip(" ")))] if text.strip(" ") else []
    bounds: list[tuple[int, int]] = []
    start, end, used = 0, 0, 0
    for match in _WORD.finditer(text):
        word = match[0]
        if word == "\n":
            bounds.append((start, end))
            start, end, used = match.end(), match.end(), 0
            continue
        size = len(word) if narrow else cell_len(word)
        if used and used + size > width:
            bounds.append((start, end))
            word = word.lstrip(" ")
            start = match.end() - len(word)
            used, size = 0, len(word) if narrow else cell_len(word)
        while size > width:  # longer than a line: cut where the line is full
            room = _chars_that_fit(word, width)
            bounds.append((start, start + room))
            start, word = start + room, word[room:]
            size = len(word) if narrow else cell_len(word)
        if word.strip(" "):
            end = match.end()
        used += size
    if end > start:
        bounds.append((start, end))
    return bounds


def _fitting(text: str, width: int) -> str:
    """The beginning of `text` that is at most `width` cells wide."""
    return text[: _chars_that_fit(text, width)] if width > 0 else ""


def _chars_that_fit(text: str, width: int) -> int:
    used = 0
    for index, character in enumerate(text):
        used += get_character_cell_size(character)
        if used > width:
            return max(1, index)
    return len(text)


def _cut(runs: Sequence[Run], bounds: Sequence[tuple[int, int]]) -> Iterator[Line]:
    """The runs between each pair of bounds; neighbours of one style become one segment."""
    index, offset = 0, 0
    for start, end in bounds:
        line: Line = []
        while index < len(runs) and offset + len(runs[index][0]) <= start:
            offset += len(runs[index][0])
            index += 1
        position, at = index, offset
        while position < len(runs) and at < end:
            text, style = runs[position]
            part = text[max(0, start - at) : end - at]
            if line and line[-1].style == style:
                line[-1] = Segment(line[-1].text + part, style)
            elif part:
                line.append(Segment(part, style))
            at += len(text)
            position += 1
        yield line
