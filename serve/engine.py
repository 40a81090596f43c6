"""What a server needs of an engine: prompts out of requests, and streams out of prompts."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from ..guard.backend_async import AsyncBackend
from .engine_options import Option
from .engine_prompts import Prompts


class Engine(Protocol):
    """A loaded model, in this process or behind another server's API."""

    @property
    def backend(self) -> AsyncBackend:
        """Generates from prompts."""
        ...

    @property
    def prompts(self) -> Prompts:
        """Makes prompts out of requests."""
        ...

    @property
    def model_names(self) -> Sequence[str]:
        """The names that requests may ask for."""
        ...

    @property
    def stored_name(self) -> str:
        """What traces call the model, whatever requests call it: of one in this process the
        folder or name that it was loaded by and a fingerprint of its weights,
        `name@fingerprint`; of an upstream's its name there."""
        ...

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
    def why_no_intervention(self) -> str | None:
        """A sentence where the engine cannot go on from the middle of an answer, so that the
        policy `intervene` is refused; `None` where it can."""
        ...

    async def ready(self) -> bool:
        """Whether it can generate now."""
        ...

    async def close(self) -> None:
        """Ends what it has started; nothing is generated from then on."""
        ...
