"""Finds control markup in generated text and keeps the channel that it leads to.

A harmony header (`<|start|>assistant<|channel|>analysis<|message|>`) is found as one piece of
markup, since its channel is known only at its end. Text that looks like a header but does not
become one within its bounds is ordinary text of the answer, so that nothing goes by unguarded.
"""

import re
from enum import Enum
from functools import lru_cache
from typing import NamedTuple

from .channels import Channel
from .reasoning_format import Effect, ReasoningFormat

_MAX_HEADER_WORDS = 64
"""Characters between two tags of a header."""

_MAX_HEADER_TAGS = 4

_RECIPIENT = " to="


class Phase(Enum):
    """Where in a message the text is; formats without headers are always in a body."""

    ROLE = "role"
    """The prompt ended with the start of the model's message: the rest of its header comes."""

    BODY = "body"
    """Text of the reasoning, the answer or a tool call."""

    BETWEEN = "between"
    """A message has ended."""


class ChannelState(NamedTuple):
    """All that the parser remembers."""

    channel: Channel
    """Of the text to come."""

    outer: Channel
    """The channel to go back to when a tool call ends."""

    phase: Phase


class _Grammar(NamedTuple):
    """A format's markup, compiled."""

    effects: dict[str, Effect]
    openings: tuple[str, ...]
    """Tags and, if there are headers, the tags a header may go on with."""

    inside_call: tuple[str, ...]
    header: re.Pattern[str] | None
    header_start: re.Pattern[str] | None


@lru_cache(maxsize=16)
def _grammar(reasoning_format: ReasoningFormat) -> _Grammar:
    effects = {tag.text: tag.effect for tag in reasoning_format.tags}
    think = (Effect.OPEN_REASONING, Effect.CLOSE_REASONING)
    inside_call = tuple(text for text, effect in effects.items() if effect not in think)
    if not reasoning_format.header_tags:
        return _Grammar(effects, tuple(effects), inside_call, None, None)
    tags = "|".join(map(re.escape, reasoning_format.header_tags))
    part = rf"(?:{tags})[^<\n]{{0,{_MAX_HEADER_WORDS}}}"
    return _Grammar(
        effects,
        (*effects, *reasoning_format.header_tags),
        (*inside_call, *reasoning_format.header_tags),
        re.compile(rf"(?:{part}){{1,{_MAX_HEADER_TAGS}}}{re.escape(reasoning_format.header_end)}"),
        re.compile(rf"(?:{part}){{1,{_MAX_HEADER_TAGS}}}(?:<[^<>\n]{{0,13}})?\Z"),
    )


class ChannelParser:
    """The channel of the text to come, and the markup that changes it."""

    __slots__ = ("_format", "_grammar", "state")

    def __init__(self, reasoning_format: ReasoningFormat, *, reasoning_open: bool) -> None:
        if reasoning_open and not reasoning_format.open_reasoning:
            raise ValueError(
                f"reasoning format {reasoning_format.name!r} has no chain of thought to be open in:"
                " choose the model's format or leave reasoning_open off"
            )
        self._format = reasoning_format
        self._grammar = _grammar(reasoning_format)
        channel = Channel.REASONING if reasoning_open else Channel.ANSWER
        in_role = bool(reasoning_format.header_tags) and not reasoning_open
        self.state = ChannelState(channel, Channel.ANSWER, Phase.ROLE if in_role else Phase.BODY)

    def find(self, text: str, start: int) -> str | None:
        """The markup at `start`; "" if more text may make it markup; None if it is none."""
        if self.state.phase is Phase.ROLE:
            recipient = text[start : start + len(_RECIPIENT)]
            if _RECIPIENT.startswith(recipient) or _RECIPIENT[1:].startswith(recipient[:3]):
                return self._find_role(text[start:])
        if text[start] != "<":
            return None
        grammar = self._grammar
        in_call = self.state.channel is Channel.TOOL_CALL
        openings = grammar.inside_call if in_call else grammar.openings
        for tag in openings:
            if tag in grammar.effects and text.startswith(tag, start):
                return tag
        if grammar.header is not None and (header := self._find_header(text, start)) is not None:
            return header
        rest = text[start : start + 40]
        return "" if any(tag.startswith(rest) for tag in openings) else None

    def _find_header(self, text: str, start: int) -> str | None:
        header, header_start = self._grammar.header, self._grammar.header_start
        assert header is not None and header_start is not None
        if found := header.match(text, start):
            return found[0]
        return "" if header_start.match(text, start) else None

    def _find_role(self, rest: str) -> str | None:
        """The rest of a header that begins with the recipient, after the role in the prompt."""
        if len(rest) < len(_RECIPIENT) and not rest.endswith("="):
            return ""
        role = self._format.message_start
        header = self._find_header(role + rest, 0)
        return header[len(role) :] if header else header

    def enter(self, markup: str) -> bool:
        """Follow the markup that `find` gave; True if it opened a tool call."""
        channel, outer, phase = self.state
        effect = self._grammar.effects.get(markup)
        if effect is None:
            channel, phase = _channel_of(markup), Phase.BODY
        elif effect is Effect.OPEN_REASONING:
            channel = Channel.REASONING
        elif effect is Effect.CLOSE_REASONING:
            channel = Channel.ANSWER
        elif effect is Effect.OPEN_CALL:
            outer = outer if channel is Channel.TOOL_CALL else channel
            channel = Channel.TOOL_CALL
        elif effect is Effect.CLOSE_CALL:
            channel = outer if channel is Channel.TOOL_CALL else channel
        elif effect is Effect.END_MESSAGE:
            channel, phase = Channel.ANSWER, Phase.BETWEEN
        else:
            phase = Phase.BODY
        self.state = ChannelState(channel, outer, phase)
        header_opened = effect is None and channel is Channel.TOOL_CALL
        return header_opened or effect is Effect.OPEN_CALL

    def leave_role(self) -> None:
        """Text came where a header was expected: it belongs to the answer."""
        if self.state.phase is Phase.ROLE:
            self.state = self.state._replace(phase=Phase.BODY)

    def lead_in(self, channel: Channel) -> str:
        """The text to write here so that what follows is in `channel`; "" if it is already."""
        now, _, phase = self.state
        if phase is Phase.BODY and now is channel:
            return ""
        if Channel.TOOL_CALL in (now, channel):
            raise ValueError("there is no way into or out of a tool call: rewind to its mark first")
        body = self._format
        opening = body.open_reasoning if channel is Channel.REASONING else body.open_answer
        if not opening:
            raise ValueError(f"reasoning format {body.name!r} has no chain of thought to go to")
        if phase is Phase.ROLE:
            return opening
        end = body.message_end if phase is Phase.BODY else ""
        return end + body.message_start + opening


def _channel_of(header: str) -> Channel:
    if _RECIPIENT.strip() in header:
        return Channel.TOOL_CALL
    return Channel.REASONING if "<|channel|>analysis" in header else Channel.ANSWER
