"""The engine over a Hugging Face model in this process: `sandbox`, a folder, a hub name."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from ..guard.backend_transformers_async import AsyncTransformersBackend
from ..guard.backend_transformers_identity import model_identity
from .engine import LogitBiasOption, NumberOption, Option
from .engine_prompts import PromptedEngine, ThreadedPrompts, format_named

OPTIONS: Mapping[str, Option] = {
    "logprobs": NumberOption(0, 20, whole=True),
    "top_k": NumberOption(-1, 1_000_000, whole=True),
    "min_p": NumberOption(0.0, 1.0),
    "repetition_penalty": NumberOption(0.1, 10.0),
    "presence_penalty": NumberOption(-2.0, 2.0),
    "frequency_penalty": NumberOption(-2.0, 2.0),
}


class TransformersEngine(PromptedEngine):
    """One model with its tokenizer."""

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
        self.options = {**OPTIONS, "logit_bias": LogitBiasOption(len(tokenizer))}
        form = self.backend.reasoning_format
        super().__init__(ThreadedPrompts(tokenizer, form, self.stored_name))

    async def ready(self) -> bool:
        return True

    async def close(self) -> None:
        await asyncio.to_thread(self.backend.close)
