"""The part of the browser that shows one trace: a list of steps that scrolls by the line.

For a width the lines are only counted; they are made when they are seen, so that a long trace opens
as fast as a short one. The cursor, labels and what other thresholds would do are put before them
whenever a line is drawn, so moving and trying thresholds costs nothing.
"""

from collections.abc import Mapping

from rich.segment import Segment
from rich.style import Style
from textual.geometry import Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from ..guard.detector import Threshold
from .label_book import Mark
from .lines import Line, wrapped
from .story import Firing, Kind, Row, Story, would_fire
from .themes import Theme
from .trace_render import header_lines, num_row_lines, row_lines, rule
from .wording import CHANNELS

_MARGIN = 9
_MARKS = {Mark.CUE: "cue", Mark.SAFE: "safe", Mark.NEUTRAL: "neut"}
_FIRINGS = {Firing.FIRES: "!", Firing.UNKNOWN: "?", Firing.PASSES: " "}
_HEAD = -1


class Steps(ScrollView, can_focus=True):
    """One trace. `selected` is a row of the story; the app changes everything through methods."""

    class Moved(Message):
        """Another step is selected."""

    def __init__(self, look: Theme) -> None:
        super().__init__()
        self.look = look
        self.story: Story | None = None
        self.selected = 0
        self.folded: set[int] = set()
        self.labels: Mapping[int, Mark] = {}
        self.threshold_end: float | None = None
        """Tried out instead of the recorded one; `None` for the recorded ones."""
        self._lines: list[tuple[int, Line | None]] = []
        """Each line's row, and the line itself where it is a heading's."""
        self._first_line: dict[int, int] = {}
        self._width = 0
        """What the lines were counted for: the widget's own changes before it tells of it."""
        self._made: dict[int, list[Line]] = {}

    def open(self, story: Story, labels: Mapping[int, Mark]) -> None:
        """Shows another trace, with its first cue selected if it has one."""
        self.story, self.labels = story, labels
        self.folded.clear()
        self.selected = 0
        self._lay_out()
        self.scroll_to(y=0, animate=False)
        cues = self.cues
        self.select(cues[0] if cues else 0)

    @property
    def rows(self) -> tuple[Row, ...]:
        """Those of the trace that is open."""
        return self.story.rows if self.story is not None else ()

    @property
    def cues(self) -> list[int]:
        """Rows that were cues to the guard."""
        wanted = (Kind.REMOVED, Kind.PASSED)
        return [index for index, row in enumerate(self.rows) if row.kind in wanted]

    @property
    def drawn(self) -> frozenset[int]:
        """Rows that have been on the screen since the trace was laid out."""
        return frozenset(self._made)

    def threshold(self, row: Row) -> Threshold | None:
        """In force for this row, recorded or tried out."""
        if self.story is None or row.channel is None:
            return None
        limits = self.story.trace.thresholds.get(row.channel.value)
        if limits is None:
            return None
        inside, end = limits
        if self.threshold_end is not None:
            end, inside = self.threshold_end, max(inside, self.threshold_end)
        return Threshold(inside, end)

    def firing(self, index: int) -> Firing | None:
        """What this step does under the thresholds in force."""
        row = self.rows[index]
        if self.threshold_end is None and row.kind in (Kind.STEP, Kind.REMOVED, Kind.PASSED):
            if row.score is None:
                return None
            return Firing.PASSES if row.kind is Kind.STEP else Firing.FIRES
        limits = self.threshold(row)
        return would_fire(row, limits) if limits is not None else None

    def select(self, index: int) -> None:
        """Moves the cursor, and as much of the text as is needed to see the whole step."""
        if self.rows:
            self.selected = max(0, min(index, len(self.rows) - 1))
            self._reveal()
            self.post_message(self.Moved())

    def _reveal(self) -> None:
        first = self._first_line.get(self.selected, 0)
        last = self._first_line.get(self.selected + 1, len(self._lines)) - 1
        top, height = self.scroll_offset.y, self.scrollable_content_region.height
        if first < top:
            # The heading above a channel's first step is shown with it.
            self.scroll_to(y=max(0, first - 2 if first < 8 else first - 1), animate=False)
        elif last >= top + height:
            self.scroll_to(y=min(first, last - height + 1), animate=False)
        self.refresh()

    def fold(self, indices: set[int]) -> None:
        """Which removed branches are folded."""
        self.folded = indices
        self._lay_out()
        self._reveal()

    def find(self, text: str, after: int) -> int | None:
        """The next step after this one that holds the words, in upper or lower case."""
        needle = text.casefold()
        rows = self.rows
        order = [*range(after + 1, len(rows)), *range(0, after + 1)] if after >= 0 else range(
            len(rows)
        )  # fmt: skip
        return next((index for index in order if needle in rows[index].text.casefold()), None)

    def render_line(self, y: int) -> Strip:
        """Drawn when it is seen: the margin, then the line as laid out."""
        at = self.scroll_offset.y + y
        width = self.scrollable_content_region.width
        if at >= len(self._lines):
            return Strip.blank(width, self.rich_style)
        index, line = self._lines[at]
        if line is None:
            line = self._row_lines(index)[at - self._first_line[index]]
        is_selected = index == self.selected
        segments = [Segment(self._margin(index, at), self._margin_style(index, is_selected)), *line]
        strip = Strip(segments).adjust_cell_length(width)
        base = self.rich_style + (Style(bold=True) if is_selected else Style.null())
        return strip.apply_style(base)

    def on_resize(self) -> None:
        """Lays out again for the new width."""
        self._lay_out()
        self._reveal()

    def _margin(self, index: int, at: int) -> str:
        """Cursor, hand-given label, and whether the step fires."""
        cursor = "> " if index == self.selected and index != _HEAD else "  "
        if index == _HEAD or self._first_line.get(index) != at:
            return cursor.ljust(_MARGIN)
        label = _MARKS.get(self.labels[index], "") if index in self.labels else ""
        firing = self.firing(index)
        fires = _FIRINGS[firing] if firing is not None else " "
        return f"{cursor}{label:<4} {fires} "

    def _margin_style(self, index: int, is_selected: bool) -> Style:
        if is_selected:
            return self.look.word
        if index in self.labels:
            return self.look.added if self.labels[index] is not Mark.CUE else self.look.alarm
        return self.look.alarm

    def _lay_out(self) -> None:
        """Says which line belongs to which row; none is made yet."""
        self._width = width = max(20, self.scrollable_content_region.width - _MARGIN)
        self._lines, self._first_line = [], {}
        self._made.clear()
        if self.story is None:
            return
        head = header_lines(self.story.trace, width, self.look)
        self._lines = [(_HEAD, line) for line in head]
        channel = None
        for index, row in enumerate(self.rows):
            if row.channel is not None and row.channel is not channel:
                channel = row.channel
                self._lines += [(_HEAD, []), (_HEAD, rule(CHANNELS[channel], width, self.look))]
            self._first_line[index] = len(self._lines)
            self._lines += [(index, None)] * self._num_lines(index, row)
        self.virtual_size = Size(width + _MARGIN, len(self._lines))
        self.refresh()

    def _num_lines(self, index: int, row: Row) -> int:
        assert self.story is not None
        if index in self.folded:
            return len(self._row_lines(index))
        return num_row_lines(self.story, row, self._width, self.look)

    def _row_lines(self, index: int) -> list[Line]:
        """A row's lines, made when the first of them is seen."""
        if index not in self._made:
            assert self.story is not None
            lines = row_lines(self.story, self.rows[index], self._width, self.look)
            if index in self.folded:
                lines = [*lines[:1], *wrapped([("… folded", self.look.quiet)], self._width)]
            self._made[index] = lines
        return self._made[index]
