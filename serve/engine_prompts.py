"""What every engine does alike: prompts out of requests, whoever renders them."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from ..guard import Message, Prompt, ReasoningFormat
from .prompt_renderer import PromptRenderer


class Prompts(Protocol):
    """Whoever renders: the model's tokenizer here, or an upstream.

    The methods raise `ValueError` with a sentence for the user about what they cannot take.
    """

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
        never read as control tokens. For an engine in text mode it has no ids."""
        ...

    async def complete(self, prompt: str | Sequence[int]) -> Prompt:
        """A prompt that the caller wrote whole, control tokens and all."""
        ...

    async def tokenize(self, text: str) -> tuple[int, ...]:
        """The ids of a text as it stands."""
        ...


_SHORT_CHARS = 2000
"""A request so long is rendered and tokenized in a millisecond; handing it to a thread and back
takes as long where the engine keeps the processors busy."""


class ThreadedPrompts:
    """Rendered here with the model's tokenizer, long texts in threads: they hold nothing up."""

    def __init__(self, tokenizer: Any, reasoning_format: ReasoningFormat, model_name: str) -> None:
        """As `PromptRenderer`."""
        self._renderer = PromptRenderer(tokenizer, reasoning_format, model_name)
        self.template_options = self._renderer.template_options

    async def render(
        self,
        messages: Sequence[Message],
        tools: Sequence[Any],
        template_options: Mapping[str, Any],
    ) -> Prompt:
        rendered = self._renderer.rendered
        if len(str((messages, tools, template_options))) <= _SHORT_CHARS:
            return rendered(messages, tools, template_options)
        return await asyncio.to_thread(rendered, messages, tools, template_options)

    async def complete(self, prompt: str | Sequence[int]) -> Prompt:
        if len(prompt) <= _SHORT_CHARS:
            return self._renderer.completed(prompt)
        return await asyncio.to_thread(self._renderer.completed, prompt)

    async def tokenize(self, text: str) -> tuple[int, ...]:
        return await asyncio.to_thread(self._renderer.ids, text)


def format_named(name: str) -> ReasoningFormat | None:
    """The format of `--reasoning-format`; `None` where the tokenizer has to tell."""
    return None if name == "auto" else ReasoningFormat.named(name)
