"""Which part of a generation a piece of text belongs to.

Control markup (`<think>`, `<|channel|>`, ...) belongs to no channel: where a channel may be absent
the type is `Channel | None`.
"""

from enum import StrEnum


class Channel(StrEnum):
    """A part of one generation; every channel is guarded."""

    REASONING = "reasoning"
    """The chain of thought."""

    ANSWER = "answer"
    """What the user is meant to read."""

    TOOL_CALL = "tool_call"
    """A call that the model writes for a tool: name and arguments."""
