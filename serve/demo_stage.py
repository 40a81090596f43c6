"""Where the demo plays: two columns side by side, live in a terminal, whole in the end.

In a pipe nothing moves: every request is printed once, when both sides are done.
"""

import time
from collections.abc import Iterable
from types import TracebackType
from typing import Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from ..guard import Event
from .demo_column import DemoColumn

_SIDE_BY_SIDE = 76
"""Columns from which the two sides fit beside each other."""

_FRAMES_PER_SECOND = 12
_PAUSE_AT_CUE_S = 0.45


class DemoStage:
    """One request on both sides."""

    def __init__(self, console: Console, title: Text) -> None:
        self._console = console
        self._title = title
        self._sides = (DemoColumn(), DemoColumn())
        self._verdicts = ["", ""]
        self._borders = ["dim", "dim"]
        self._live = (
            Live(
                console=console,
                auto_refresh=False,
                transient=True,
                vertical_overflow="crop",
                redirect_stderr=False,
            )
            if console.is_terminal
            else None
        )
        self._drawn_at = 0.0

    def play(self, side: int, events: Iterable[Event]) -> DemoColumn:
        """Runs one side (0 without the guard, 1 with it) to its end."""
        column = self._sides[side]
        for event in events:
            worth_a_pause = column.take(event)
            self._draw(now=worth_a_pause)
            if worth_a_pause and self._live is not None:
                time.sleep(_PAUSE_AT_CUE_S)
                column.strike()
                self._draw(now=True)
        self._draw(now=True)
        return column

    def verdict(self, side: int, words: str, good: bool) -> None:
        """Writes below a column what it came to."""
        self._verdicts[side] = words
        self._borders[side] = "green" if good else "red"
        self._draw(now=True)

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._live is not None:
            self._live.stop()
        if error is None:
            self._console.print(self._picture(None))

    def _draw(self, *, now: bool) -> None:
        if self._live is None:
            return
        moment = time.monotonic()
        if now or moment - self._drawn_at >= 1 / _FRAMES_PER_SECOND:
            self._drawn_at = moment
            self._live.update(self._picture(self._console.height - 5), refresh=True)

    def _picture(self, height: int | None) -> RenderableType:
        """Both columns; of a text that is higher than `height` lines the last ones."""
        beside = self._console.width >= _SIDE_BY_SIDE
        width = self._console.width // 2 if beside else self._console.width
        panels = []
        for side, name in enumerate(("without the guard", "with rerail")):
            lines = self._sides[side].lines(self._console, width - 4)
            if height is not None:
                lines = lines[-(height if beside else height // 2) :]
            panels.append(
                Panel(
                    Text("\n").join(lines),
                    title=name,
                    title_align="left",
                    subtitle=self._verdicts[side] or None,
                    subtitle_align="left",
                    border_style=self._borders[side],
                )
            )
        if not beside:
            return Group(self._title, *panels)
        table = Table.grid(expand=True)
        table.add_column(ratio=1)
        table.add_column(ratio=1)
        table.add_row(*panels)
        return Group(self._title, table)
