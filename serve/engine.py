"""What a server needs of an engine: prompts out of conversations, and streams out of prompts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from ..guard import Message, Prompt
from ..guard.backend_async import AsyncBackend


class Option(Protocol):
    """A request field that goes to the engine."""

    def read(self, value: Any) -> Any:
        """The value for `sampling`; plain data, since it is stored with the trace. Raises
        `ValueError` with what to give instead."""
        ...


@dataclass(frozen=True, slots=True)
class NumberOption:
    """A number within a range."""

    minimum: float
    maximum: float
    whole: bool = False

    def read(self, value: Any) -> float:
        kinds = int if self.whole else (int, float)
        wrong = isinstance(value, bool) or not isinstance(value, kinds)
        if wrong or not self.minimum <= value <= self.maximum:
            kind = "whole number" if self.whole else "number"
            raise ValueError(f"give a {kind} from {self.minimum:g} to {self.maximum:g}")
        return value


@dataclass(frozen=True, slots=True)
class LogitBiasOption:
    """OpenAI's `logit_bias`: token ids, as text, and what is added to their logits."""

    vocabulary_size: int

    def read(self, value: Any) -> dict[str, float]:
        bias = NumberOption(-100.0, 100.0)
        if not isinstance(value, dict) or len(value) > 1000:
            raise ValueError("give an object of at most 1000 token ids and numbers")
        for token_id in value:
            if not token_id.isdecimal() or int(token_id) >= self.vocabulary_size:
                raise ValueError(f"{token_id[:20]!r} is no token id of this model")
        return {token_id: bias.read(each) for token_id, each in value.items()}


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
    def adapters(self) -> Mapping[str, str]:
        """For those of the names that are answered under a LoRA adapter, which one: `lora` in
        `sampling`."""
        ...

    @property
    def max_model_len(self) -> int:
        """Tokens of prompt and generation together."""
        ...

    @property
    def options(self) -> Mapping[str, Option]:
        """Request fields beyond temperature, top_p, seed and the lengths, handed to `sampling`."""
        ...

    @property
    def template_options(self) -> frozenset[str]:
        """What `chat_template_kwargs` may hold."""
        ...

    @property
    def why_no_intervention(self) -> str | None:
        """A sentence where the engine cannot go on from the middle of an answer, so that the
        policy `intervene` is refused; `None` where it can."""
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
