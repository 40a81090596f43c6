"""A live generation as text on stdout: what is released, and in a terminal what the guard does.

Only released text is printed; a cue's own text stays in the store (`rerail trace show`). Where text
may have to be taken back (`hold` other than "step") a pipe gets it at the end, when it is final.
"""

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
    TriggerInjected,
)
from ..guard.decision import Verdict
from .marks import STYLES, Mark, score_text
from .visible import visible

_CHANNEL_STYLES = {Channel.REASONING: "dim", Channel.ANSWER: "", Channel.TOOL_CALL: "cyan"}


class RunView:
    """Takes the events of one generation, in order."""

    def __init__(self, console: Console, *, final_at_once: bool) -> None:
        """`final_at_once`: what is released stays, so a pipe may have it as it comes."""
        self._console = console
        self._terminal = console.is_terminal
        self._streams = self._terminal or final_at_once
        self._channel: Channel | None = None
        self._at_line_start = True
        self._trigger_left = 0
        """Characters still to be released of the trigger put in last."""
        self._trigger_style = ""
        self._score: float | None = None

    def take(self, event: Event) -> None:
        """Shows what an event brings."""
        match event:
            case Released():
                if self._streams:
                    self._released(event.text, event.channel)
            case Retracted():
                if self._streams:
                    self._notice(
                        f"taken back, {event.num_tokens} tokens: {event.text}", "red strike"
                    )
            case StepJudged():
                self._score = event.probability
                if event.verdict is Verdict.AUDIT:
                    self._notice(f"cue kept ({score_text(event.probability)})", "yellow")
            case DetectorFailed():
                self._notice(f"the detector failed: {event.error}", "bold red")
            case RolledBack():
                score = score_text(self._score)
                self._notice(f"cue taken out ({score}), {event.num_tokens} tokens", "bold red")
            case TriggerInjected():
                self._trigger_left = len(event.text)
                mark = Mark.REFUSAL if event.trigger is None else Mark.TRIGGER
                self._trigger_style = STYLES[mark]
            case Finished():
                if not self._streams:
                    self._released(event.trace.reasoning, Channel.REASONING)
                    self._released(event.trace.answer, Channel.ANSWER)
                self._new_line()

    def _released(self, text: str, channel: Channel | None) -> None:
        if channel is None:  # control markup
            self._trigger_left = max(0, self._trigger_left - len(text))
            return
        if channel is not self._channel:
            blanks = len(text) - len(text.lstrip())
            self._trigger_left = max(0, self._trigger_left - blanks)
            text = text[blanks:]
            if not text:
                return
            if self._channel is not None:
                self._new_line()
                self._write("\n", "")
            self._channel = channel
        ours, theirs = text[: self._trigger_left], text[self._trigger_left :]
        self._trigger_left -= len(ours)
        self._write(ours, self._trigger_style)
        self._write(theirs, _CHANNEL_STYLES[channel])

    def _write(self, text: str, style: str) -> None:
        if not text:
            return
        self._at_line_start = text.endswith("\n")
        if self._terminal:
            self._console.print(Text(visible(text), style=style), end="", soft_wrap=True)
        else:
            # As it is: what a program reads must be what the model wrote.
            self._console.file.write(text)
        self._console.file.flush()

    def _notice(self, text: str, style: str) -> None:
        if not self._terminal:
            return
        self._new_line()
        self._console.print(Text(f"[{visible(text).strip()}]", style=style))
        self._at_line_start = True

    def _new_line(self) -> None:
        if not self._at_line_start:
            self._write("\n", "")
