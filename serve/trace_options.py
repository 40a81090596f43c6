"""Options that the `trace` commands share."""

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from ..guard import Action, Channel, FinishReason
from ..guard.store_query import TraceFilter, TraceOrder
from .cli_errors import options_checked
from .options import Moment

if TYPE_CHECKING:
    from rich.console import Console

    from ..guard import Trace
    from ..guard.store import Store
    from .themes import Theme


@Parameter(name="*")
@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which traces."""

    action: Action | None = None
    """Only those in which this was the strongest thing that the guard did."""

    channel: Channel | None = None
    """Only this channel counts: --action and --min-score are then its own."""

    model: str | None = None
    """Only this model's: its name, with the hash of its weights or without."""

    detector: str | None = None
    """Only those guarded by this detector, by its whole identity."""

    topic: str | None = None
    """Only those filed under this topic."""

    trigger: str | None = None
    """Only those in which the trigger with this id was used."""

    contains: Annotated[str | None, Parameter(name=["--contains", "--text"])] = None
    """Only those with these words in the request, the kept or the rolled-back text."""

    min_score: float | None = None
    """Only those whose highest probability of a cue is at least this, from 0 to 1."""

    finish: FinishReason | None = None
    """Only those that ended so."""

    since: Moment = None
    """Only those begun since: a date, a time, or an age such as `2h` or `7d`."""

    until: Moment = None
    """Only those begun before."""

    def filter(
        self,
        *,
        order: TraceOrder = TraceOrder.NEWEST,
        limit: int | None = None,
        offset: int = 0,
    ) -> TraceFilter:
        """As the store takes it. Raises `UsageError` for wrong values."""
        with options_checked():
            return TraceFilter(
                action=self.action,
                channel=self.channel,
                model=self.model,
                detector=self.detector,
                topic=self.topic,
                trigger=self.trigger,
                contains=self.contains,
                min_score=self.min_score,
                finish=self.finish,
                since=self.since,
                until=self.until,
                order=order,
                limit=limit,
                offset=offset,
            )


@Parameter(name="*")
@dataclass(frozen=True, slots=True, kw_only=True)
class Looks:
    """How it is drawn."""

    theme: Literal["auto", "dark", "light", "mono", "spoken"] = "auto"
    """Colours for a dark or a light terminal, none (`mono`), or words only in one column for screen
    readers (`spoken`). `auto` heeds NO_COLOR and the terminal, and is `spoken` in a pipe."""

    width: int | None = None
    """Columns to draw for; by default the terminal's."""

    def __post_init__(self) -> None:
        if self.width is not None and self.width < 1:
            raise ValueError(f"--width is {self.width}: give the number of columns")

    def console(self) -> "Console":
        """On stdout."""
        from rich.console import Console

        console = Console(width=self.width, highlight=False, markup=False, emoji=False)
        if self.theme in ("dark", "light") and console.is_terminal:
            console.no_color = False
        return console

    def chosen(self, console: "Console") -> "Theme":
        """The theme for this console."""
        from .themes import DARK, LIGHT, MONO, SPOKEN, THEMES

        if self.theme != "auto":
            return THEMES[self.theme]
        if not console.is_terminal or console.is_dumb_terminal:
            return SPOKEN
        if console.no_color or console.color_system is None:
            return MONO
        # Set by several terminals to "foreground;background", in the 16 colours of old.
        background = os.environ.get("COLORFGBG", "").rsplit(";", 1)[-1]
        return LIGHT if background in ("7", "15") else DARK


def picked(store: "Store", trace_id: str) -> "Trace":
    """The trace with this id, its beginning, or `last`. Raises `ValueError` or `StoreError`."""
    if trace_id == "last":
        newest = store.summaries(TraceFilter(limit=1))
        if not newest:
            raise ValueError(f"the store {store.name} holds no traces yet")
        trace_id = newest[0].id
    return store.get(trace_id)
