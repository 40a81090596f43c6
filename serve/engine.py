"""What a server needs of an engine: prompts out of conversations, and streams out of prompts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from ..guard import Message, Prompt
from ..guard.backend_async import AsyncBackend


@dataclass(frozen=True, slots=True)
class NumberOption:
    """A request field that the engine takes as it is, with the range of its values."""

    minimum: float
    maximum: float
    whole: bool = False


class Engine(Protocol):
    """A loaded model, in this process or behind another server's API.

    Methods that read text raise `ValueError` with a sentence for the user where they cannot.
    """

    @property
    def backend(self) -> AsyncBackend: ...

    @property
    def model_names(self) -> Sequence[str]:
        """The names that requests may ask for; traces carry `stored_name`."""
        ...

    @property
    def stored_name(self) -> str: ...

    @property
    def max_model_len(self) -> int:
        """Tokens of prompt and generation together."""
        ...

    @property
    def number_options(self) -> Mapping[str, NumberOption]:
        """Request fields beyond temperature, top_p, seed and the lengths, handed to `sampling`."""
        ...

    @property
    def template_options(self) -> frozenset[str]:
        """What `chat_template_kwargs` may hold."""
        ...

    async def render(
        self,
        messages: Sequence[Message],
        tools: Sequence[Any],
        template_options: Mapping[str, Any],
    ) -> Prompt:
        """The prompt for the assistant's next turn. Control strings in texts of the request are
        never read as control tokens. An engine in text mode gives no ids."""
        ...

    async def complete(self, prompt: str | Sequence[int]) -> Prompt:
        """A prompt that the caller wrote whole, control tokens and all."""
        ...

    async def tokenize(self, text: str) -> tuple[int, ...]: ...

    async def ready(self) -> bool:
        """Whether it can generate now."""
        ...

    async def close(self) -> None: ...
