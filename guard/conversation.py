"""What a detector reads of a conversation before the generation begins.

A harmful third turn hides behind two harmless ones when everything is read as one text, and a
harmless last turn ("go on") hides a harmful first one when only that is read. So a conversation
gives several passages, each to be judged by itself. The same holds inside one long turn: so that no
amount of small talk around it hides a request, the turn is read in overlapping parts as well.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from .detector import Message

_TURN = re.compile(r"^[ \t]*(?:User|Human|Assistant|System|Tool)[ \t]*:[ \t]*", re.MULTILINE)
_USER_TURN = re.compile(r"^[ \t]*(?:User|Human)[ \t]*:", re.MULTILINE)

_LONG_TURN = 300
"""Characters; a longer turn is read in parts as well. Most plain requests are shorter."""

_WINDOW = 5
"""Sentences that are read together: a request, with who agreed to it and what it is for. With fewer
the reason for a harmless request is cut off, with more a harmful one is drowned again."""

_STRIDE = 2
_MAX_WINDOWS = 12
"""Of a longer turn the first and the last are read: each costs a few milliseconds."""

_SENTENCE_END = re.compile(r"(?<=[.!?…:;])\s+|(?<=[。！？])|\n+")


def message_text(message: Message) -> str:
    """The text of one message: its content, or its text parts, and the arguments of tool calls."""
    content = message.get("content")
    parts: list[str] = []
    if isinstance(content, str):
        parts.append(content)
    elif isinstance(content, Sequence):
        for part in content:
            if isinstance(part, str):
                parts.append(part)
            elif isinstance(part, Mapping) and isinstance(part.get("text"), str):
                parts.append(part["text"])
    for call in message.get("tool_calls") or ():
        function: Any = call.get("function", call) if isinstance(call, Mapping) else {}
        arguments = function.get("arguments") if isinstance(function, Mapping) else None
        if arguments:
            parts.append(str(arguments))
    return "\n".join(parts).strip()


def user_turns(messages: Sequence[Message]) -> list[str]:
    """The texts of the user's turns, in order; a transcript inside one message is taken apart."""
    turns: list[str] = []
    for message in messages:
        if message.get("role") in ("user", "human"):
            turns.extend(_transcript_turns(message_text(message)))
    return [turn for turn in turns if turn]


def passages(messages: Sequence[Message]) -> tuple[str, ...]:
    """The texts to be judged, the last user turn first; empty where there is no user turn."""
    turns = user_turns(messages)
    if not turns:
        text = "\n".join(message_text(message) for message in messages).strip()
        return (text,) if text else ()
    if len(turns) == 1:
        return (turns[0],)
    return (turns[-1], " ".join(turns[-3:]))


def request_texts(messages: Sequence[Message]) -> tuple[str, ...]:
    """All that is read to judge what is asked for: the passages, then the parts of the first."""
    texts = passages(messages)
    return (*texts, *turn_parts(texts[0])) if texts else ()


def turn_parts(turn: str) -> tuple[str, ...]:
    """A long turn in overlapping parts of a few sentences; empty for a turn that is not long."""
    if len(turn) <= _LONG_TURN:
        return ()
    sentences = [each for each in _SENTENCE_END.split(turn) if each.strip()]
    last = len(sentences) - _WINDOW
    if last <= 0:
        return ()
    starts = sorted({*range(0, last, _STRIDE), last})
    if len(starts) > _MAX_WINDOWS:
        half = _MAX_WINDOWS // 2
        starts = starts[:half] + starts[-half:]
    return tuple(" ".join(sentences[start : start + _WINDOW]) for start in starts)


def _transcript_turns(text: str) -> list[str]:
    """The user's turns of a transcript ("User: ... Assistant: ..."), or the text as it is."""
    starts = list(_TURN.finditer(text))
    if len(starts) < 2 or starts[0].start() > 0:
        return [text]
    ends = [match.start() for match in starts[1:]] + [len(text)]
    return [
        text[match.end() : end].strip()
        for match, end in zip(starts, ends, strict=True)
        if _USER_TURN.match(text, match.start())
    ]
