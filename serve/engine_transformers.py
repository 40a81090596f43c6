"""The engine over a Hugging Face model in this process: `sandbox`, a folder, a hub name."""

import asyncio
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from ..guard.backend_transformers_async import AsyncTransformersBackend
from ..guard.backend_transformers_identity import model_identity
from .engine_options import LOCAL, LogitBiasOption, Option
from .engine_prompts import Prompts, ThreadedPrompts, format_named


class TransformersEngine:
    """One model with its tokenizer."""

    adapters: Mapping[str, str] = MappingProxyType({})
    why_no_intervention: str | None = None

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        *,
        model_names: Sequence[str],
        max_model_len: int | None = None,
        reasoning_format: str = "auto",
    ) -> None:
        """Raises `ValueError` for a length beyond the model's context."""
        named = format_named(reasoning_format)
        self.backend = AsyncTransformersBackend(model, tokenizer, reasoning_format=named)
        limit = self.backend.max_positions
        if max_model_len is not None and max_model_len > limit:
            self.backend.close()
            raise ValueError(f"--max-model-len is {max_model_len}: this model reaches {limit}")
        self.model_names = tuple(model_names)
        self.stored_name = model_identity(model)
        self.max_model_len = max_model_len or limit
        bias = LogitBiasOption(len(tokenizer))
        self.options: Mapping[str, Option] = {**LOCAL, "logit_bias": bias}
        form = self.backend.reasoning_format
        self.prompts: Prompts = ThreadedPrompts(tokenizer, form, self.stored_name)

    async def ready(self) -> bool:
        return True

    async def close(self) -> None:
        await asyncio.to_thread(self.backend.close)
