"""Prompts of a Hugging Face model: those that `generate` is handed, and those of conversations."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import torch

from .backend_transformers_identity import model_identity
from .backend_transformers_request import Request, read_request
from .chat_template import ChatTemplate
from .detector import Message
from .prompt import Prompt

CHAT_MAX_NEW_TOKENS = 4096
"""Budget of `chat` and `stream` where neither the call nor the model's settings give one, as far as
the model's context reaches; `generate` keeps transformers' own default of 20."""


class Prompts:
    """Makes the prompts of one model and its tokenizer."""

    def __init__(self, model: Any, tokenizer: Any) -> None:
        self._model = model
        self._tokenizer = tokenizer
        self._template = ChatTemplate(tokenizer)

    def of(self, request: Request) -> list[Prompt]:
        """One prompt a row; what the detector reads of it is recovered from its text."""
        return [self._of_row(request, row) for row in range(request.num_rows)]

    def chat(
        self,
        messages: Sequence[Message],
        generation: Mapping[str, Any],
        *,
        tools: Sequence[Any] | None = None,
        template_options: Mapping[str, Any] | None = None,
        seed: int | None = None,
        topic: str | None = None,
    ) -> tuple[Request, Prompt]:
        """The request that answers a conversation, and its prompt."""
        text = self._template.render(messages, tools=tools, options=template_options)
        ids = self._tokenizer(text, add_special_tokens=False)["input_ids"]
        if not ids:
            raise ValueError("the prompt is empty: give the model something to answer")
        input_ids = torch.tensor([ids], device=self._model.device)
        generation = {"attention_mask": torch.ones_like(input_ids), **generation}
        if not self._has_length(generation):
            generation["max_new_tokens"] = self._room(len(ids))
        request = read_request(self._model, self._tokenizer, (input_ids,), generation)
        if request.num_rows > 1:
            raise ValueError("chat and stream give one sequence: leave num_return_sequences out")
        prompt = Prompt(
            messages=tuple(messages),
            text=text,
            ids=tuple(ids),
            model=self.model_name,
            sampling=_sampling(request),
            seed=seed,
            topic=topic,
        )
        return request, prompt

    @cached_property
    def model_name(self) -> str:
        """What traces call the model; its weights are read once, when it is first asked for."""
        return model_identity(self._model)

    def _of_row(self, request: Request, row: int) -> Prompt:
        ids = request.prompt_ids(row)
        text = self._tokenizer.decode(
            ids, skip_special_tokens=False, clean_up_tokenization_spaces=False
        )
        return Prompt(
            messages=self._template.messages_of(text) if text.strip() else (),
            text=text,
            ids=ids,
            model=self.model_name,
            sampling=_sampling(request),
        )

    def _has_length(self, generation: Mapping[str, Any]) -> bool:
        names = ("max_new_tokens", "max_length")
        configs = (generation.get("generation_config"), self._model.generation_config)
        return any(generation.get(name) is not None for name in names) or any(
            getattr(config, name) is not None
            for config in configs
            if config is not None
            for name in names
        )

    def _room(self, prompt_length: int) -> int:
        positions = getattr(self._model.config, "max_position_embeddings", None)
        if positions is None:
            return CHAT_MAX_NEW_TOKENS
        if prompt_length >= positions:
            raise ValueError(
                f"the conversation has {prompt_length} tokens and the model's context {positions}: "
                "shorten the conversation"
            )
        return min(CHAT_MAX_NEW_TOKENS, positions - prompt_length)


def _sampling(request: Request) -> dict[str, Any]:
    """What the trace says of the sampling; a dictionary of its own for every row."""
    settings = request.config
    sampling: dict[str, Any] = {
        "do_sample": bool(settings.do_sample),
        "max_new_tokens": request.max_new_tokens,
    }
    names = ("temperature", "top_p", "top_k", "min_p", "repetition_penalty")
    for name in names if settings.do_sample else names[-1:]:
        if (value := getattr(settings, name, None)) is not None:
            sampling[name] = value
    return sampling
