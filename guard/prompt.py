"""What a generation continues: the conversation, and the prompt rendered from it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .detector import Message
from .traces import message_text


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """What is to be continued, and what the trace should say about it."""

    messages: tuple[Message, ...]
    """The conversation, for the detector and the trace."""

    text: str
    """Rendered, as the model sees it."""

    ids: tuple[int, ...] = ()
    """Empty in text mode."""

    num_counted: int = 0
    """How many tokens they would be, as far as that is known, where there are no ids."""

    model: str = "unknown"
    """What the trace calls the model, `name@hash`."""

    sampling: Mapping[str, Any] = field(default_factory=dict)
    """Settings of the sampler, for the trace."""

    seed: int | None = None
    """Of the generation; also picks triggers and refusals."""

    topic: str | None = None
    """What the caller files the request under, if anything."""

    def __post_init__(self) -> None:
        if not self.text.strip():
            raise ValueError("the prompt is empty: give the model something to answer")

    @property
    def num_tokens(self) -> int:
        """Tokens of the prompt; 0 where nobody can count them."""
        return len(self.ids) or self.num_counted

    @property
    def request(self) -> str:
        """The last user turn's text."""
        users = [each for each in self.messages if each.get("role") == "user"]
        return message_text(users[-1]) if users else self.text
