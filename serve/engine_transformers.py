"""The engine over a Hugging Face model in this process: `sandbox`, a folder, a hub name."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from jinja2 import meta
from jinja2.sandbox import SandboxedEnvironment

from ..guard import Message, Prompt, ReasoningFormat
from ..guard.backend_transformers_async import AsyncTransformersBackend
from ..guard.backend_transformers_identity import model_identity
from ..guard.chat_template import ChatTemplate
from ..guard.control_text import ControlText
from .engine import LogitBiasOption, NumberOption, Option

OPTIONS: Mapping[str, Option] = {
    "top_k": NumberOption(-1, 1_000_000, whole=True),
    "min_p": NumberOption(0.0, 1.0),
    "repetition_penalty": NumberOption(0.1, 10.0),
    "presence_penalty": NumberOption(-2.0, 2.0),
    "frequency_penalty": NumberOption(-2.0, 2.0),
}

_NOT_FOR_CALLERS = frozenset(
    {"messages", "tools", "documents", "add_generation_prompt", "continue_final_message"}
)


class TransformersEngine:
    """One model with its tokenizer; tokenizes in threads, so that long texts hold nothing up."""

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
        named = None if reasoning_format == "auto" else ReasoningFormat.named(reasoning_format)
        self.backend = AsyncTransformersBackend(model, tokenizer, reasoning_format=named)
        limit = self.backend.max_positions
        if max_model_len is not None and max_model_len > limit:
            self.backend.close()
            raise ValueError(f"--max-model-len is {max_model_len}: this model reaches {limit}")
        self.model_names = tuple(model_names)
        self.stored_name = model_identity(model)
        self.max_model_len = max_model_len or limit
        self.options = {**OPTIONS, "logit_bias": LogitBiasOption(len(tokenizer))}
        self.template_options = _template_options(tokenizer)
        self._tokenizer = tokenizer
        self._template = ChatTemplate(tokenizer)
        self._control = ControlText(tokenizer, self.backend.reasoning_format)

    async def render(
        self,
        messages: Sequence[Message],
        tools: Sequence[Any],
        template_options: Mapping[str, Any],
    ) -> Prompt:
        return await asyncio.to_thread(self._rendered, messages, tools, template_options)

    async def complete(self, prompt: str | Sequence[int]) -> Prompt:
        return await asyncio.to_thread(self._completed, prompt)

    async def tokenize(self, text: str) -> tuple[int, ...]:
        return await asyncio.to_thread(self._ids, text)

    async def ready(self) -> bool:
        return True

    async def close(self) -> None:
        await asyncio.to_thread(self.backend.close)

    def _rendered(
        self,
        messages: Sequence[Message],
        tools: Sequence[Any],
        template_options: Mapping[str, Any],
    ) -> Prompt:
        turns, safe_tools = self._control.in_messages(messages), self._control.in_tools(tools)
        options = {
            name: self._control.neutralised(value) if isinstance(value, str) else value
            for name, value in template_options.items()
        }
        try:
            text = self._template.render(turns, tools=safe_tools, options=options)
        except ValueError:
            raise
        except Exception as error:  # a template refuses in whatever way it likes
            reason = str(error).strip().split("\n", 1)[0][:200]
            raise ValueError(
                f"the model's chat template does not take this conversation: {reason}"
            ) from error
        return Prompt(
            messages=tuple(messages), text=text, ids=self._ids(text), model=self.stored_name
        )

    def _completed(self, prompt: str | Sequence[int]) -> Prompt:
        if isinstance(prompt, str):
            text, ids = prompt, self._ids(prompt)
        else:
            ids = tuple(prompt)
            if any(not 0 <= each < len(self._tokenizer) for each in ids):
                raise ValueError("the prompt holds an id that this model's vocabulary lacks")
            text = self._tokenizer.decode(
                list(ids), skip_special_tokens=False, clean_up_tokenization_spaces=False
            )
        if not text.strip():
            raise ValueError("the prompt is empty: give the model something to answer")
        messages = self._template.messages_of(text)
        return Prompt(messages=messages, text=text, ids=ids, model=self.stored_name)

    def _ids(self, text: str) -> tuple[int, ...]:
        return tuple(self._tokenizer(text, add_special_tokens=False)["input_ids"])


def _template_options(tokenizer: Any) -> frozenset[str]:
    """The variables that the chat template reads and that are the caller's business."""
    template = getattr(tokenizer, "chat_template", None)
    if not isinstance(template, str):
        return frozenset()
    try:
        names = meta.find_undeclared_variables(SandboxedEnvironment().parse(template))
    except Exception:  # a template of an extended syntax: it gets no options
        return frozenset()
    special = set(getattr(tokenizer, "special_tokens_map", {}))
    return frozenset(names - _NOT_FOR_CALLERS - special - {"raise_exception", "strftime_now"})
