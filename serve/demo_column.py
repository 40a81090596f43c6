"""One generation as a column of text that grows, for the demo.

With `hold="step"` a cue is never released; the column shows its text all the same, struck through,
because seeing what was taken out is the point of the demo.
"""

from dataclasses import dataclass

from rich.console import Console
from rich.text import Text

from ..guard import (
    Channel,
    DetectorFailed,
    Event,
    Finished,
    Released,
    Retracted,
    RolledBack,
    StepJudged,
    Trace,
    TriggerInjected,
)
from .marks import STYLES, Mark, score_text
from .visible import visible

_BEFORE_STRIKING = "bold red"
_ANSWER = "bold"


@dataclass(frozen=True, slots=True)
class _Pending:
    """A stretch of the text that will be struck through once it has been seen."""

    start: int
    end: int


class DemoColumn:
    """Takes the events of one generation in order, and shows what it has so far."""

    def __init__(self) -> None:
        self.text = Text()
        self.trace: Trace | None = None
        self._channel: Channel | None = Channel.REASONING
        self._score: float | None = None
        self._trigger_left = 0
        self._trigger_style = ""
        self._pending: _Pending | None = None
        self._wrapped: tuple[int, list[Text]] | None = None

    def take(self, event: Event) -> bool:
        """Whether this is worth a pause: a cue has just been marked, to be struck through next."""
        self._wrapped = None
        match event:
            case Released():
                self._released(event.text, event.channel)
            case StepJudged():
                self._score = event.probability
            case RolledBack():
                self._cue(event.text)
                return True
            case TriggerInjected():
                self.strike()
                refusal = event.trigger is None
                self._trigger_left = len(event.text)
                self._trigger_style = STYLES[Mark.REFUSAL if refusal else Mark.TRIGGER]
                self._on_new_line()
                self.text.append("[refusal] " if refusal else "[trigger] ", self._trigger_style)
            case DetectorFailed():
                self._on_new_line()
                self.text.append(f"[the detector failed] {visible(event.error)}\n", "bold red")
            case Finished():
                self.trace = event.trace
            case Retracted():
                pass  # nothing is released here before its verdict
        return False

    def strike(self) -> None:
        """Strikes the marked cue through."""
        self._wrapped = None
        if self._pending is not None:
            self.text.stylize(STYLES[Mark.CUE], self._pending.start, self._pending.end)
            self._pending = None

    def lines(self, console: Console, width: int) -> list[Text]:
        """The text so far, wrapped; kept until the next change, since frames come faster."""
        if self._wrapped is None or self._wrapped[0] != width:
            text = self.text.copy()
            text.rstrip()
            self._wrapped = (width, list(text.wrap(console, max(10, width))))
        return self._wrapped[1]

    def _released(self, text: str, channel: Channel | None) -> None:
        ours, theirs = text[: self._trigger_left], text[self._trigger_left :]
        self._trigger_left -= len(ours)
        if channel is None:  # control markup
            return
        if channel is not self._channel:
            if not text.strip():  # line breaks between the parts
                return
            self._channel = channel
            self._on_new_line()
            self.text.append(f"\n{channel.value.replace('_', ' ')}\n", "underline")
            ours, theirs = ours.lstrip("\n"), theirs.lstrip("\n")
        if ours:
            self._append(ours.lstrip() if self.text.plain.endswith("] ") else ours, True)
        if theirs:
            self._append(theirs, False)

    def _append(self, text: str, injected: bool) -> None:
        plain = _ANSWER if self._channel is not Channel.REASONING else ""
        if not self.text.plain.strip() or self.text.plain.endswith("\n"):
            text = text.lstrip()
        self.text.append(visible(text), self._trigger_style if injected else plain)

    def _cue(self, text: str) -> None:
        self._on_new_line()
        self.text.append(f"[cue {score_text(self._score)}] ", "bold red")
        start = len(self.text)
        self.text.append(visible(text.strip()), _BEFORE_STRIKING)
        self._pending = _Pending(start, len(self.text))
        self.text.append("\n")

    def _on_new_line(self) -> None:
        if self.text.plain.strip() and not self.text.plain.endswith("\n"):
            self.text.append("\n")
