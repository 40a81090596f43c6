"""Prompts for an upstream: rendered with a tokenizer at hand, by the upstream, or not at all.

Whoever renders, texts of the request lose their control strings first.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from ..guard import Message, Prompt, ReasoningFormat
from ..guard.backend_upstream_chat import request_text
from ..guard.control_markup import ControlMarkup
from ..guard.reasoning_format import FORMATS
from ..guard.tokenizer_folder import FolderTokenizer
from ..guard.upstream_client import UpstreamClient
from ..guard.upstream_codecs import ServerCodec, malformed, token_ids
from ..guard.upstream_discovery import Rendering, Upstream, UpstreamMode
from ..guard.upstream_errors import UpstreamError, UpstreamFault
from .engine_prompts import ThreadedPrompts

_TEMPLATE_OPTIONS = frozenset({"enable_thinking", "thinking", "reasoning_effort"})
"""What chat templates that nobody can look into are known to read."""


class LocalPrompts(ThreadedPrompts):
    """Rendered here, for an upstream that may want them as text."""

    def __init__(
        self,
        tokenizer: FolderTokenizer,
        reasoning_format: ReasoningFormat,
        model_name: str,
        *,
        as_text: bool,
    ) -> None:
        """`as_text`: the upstream tokenizes, and puts before a text what its tokenizer does."""
        super().__init__(tokenizer, reasoning_format, model_name)
        self._as_text = as_text
        self._leading = tokenizer.leading_text if as_text else ""

    async def render(
        self,
        messages: Sequence[Message],
        tools: Sequence[Any],
        template_options: Mapping[str, Any],
    ) -> Prompt:
        return self._for_upstream(await super().render(messages, tools, template_options))

    async def complete(self, prompt: str | Sequence[int]) -> Prompt:
        return self._for_upstream(await super().complete(prompt))

    def _for_upstream(self, prompt: Prompt) -> Prompt:
        if not self._as_text:
            return prompt
        text = prompt.text.removeprefix(self._leading)
        return replace(prompt, text=text, ids=(), num_counted=len(prompt.ids))


class ServedPrompts:
    """Rendered by the upstream (`/tokenize`, `/apply-template`)."""

    template_options = _TEMPLATE_OPTIONS

    def __init__(
        self, client: UpstreamClient, upstream: Upstream, reasoning_format: ReasoningFormat
    ) -> None:
        self._client = client
        self._upstream = upstream
        self._codec = ServerCodec(client, upstream.model)
        self._control = ControlMarkup(reasoning_format)
        self._leading: str | None = None

    async def render(
        self,
        messages: Sequence[Message],
        tools: Sequence[Any],
        template_options: Mapping[str, Any],
    ) -> Prompt:
        body: dict[str, Any] = {"messages": self._control.in_messages(messages)}
        if tools:
            body["tools"] = self._control.in_tools(tools)
        if template_options:
            body["chat_template_kwargs"] = {
                name: self._control.neutralised(value) if isinstance(value, str) else value
                for name, value in template_options.items()
            }
        try:
            if self._upstream.rendering is Rendering.APPLY_TEMPLATE:
                return await self._from_text(await self._applied(body), tuple(messages))
            answer = await self._client.post("/tokenize", {"model": self._upstream.model, **body})
        except UpstreamError as error:
            if error.fault is not UpstreamFault.REFUSED:
                raise
            raise ValueError(
                f"the model's chat template does not take this conversation: {error.detail}"
            ) from error
        return await self._from_ids(token_ids(answer, "tokens"), tuple(messages))

    async def complete(self, prompt: str | Sequence[int]) -> Prompt:
        if not isinstance(prompt, str):
            if self._upstream.mode is not UpstreamMode.IDS:
                raise ValueError("the model's server takes texts: give the prompt as one")
            return await self._from_ids(list(prompt), ())
        if not prompt.strip():
            raise ValueError("the prompt is empty: give the model something to answer")
        if self._upstream.mode is UpstreamMode.IDS:
            ids = await self._codec.ids_of(prompt)
            return self._prompt(prompt, (), ids=tuple(ids))
        return await self._from_text(prompt, ())

    async def tokenize(self, text: str) -> tuple[int, ...]:
        if self._upstream.mode is not UpstreamMode.IDS and not self._upstream.counts_tokens:
            raise ValueError("the model's server does not tokenize")
        return tuple(await self._tokenized(text))

    async def _applied(self, body: Mapping[str, Any]) -> str:
        answer = await self._client.post("/apply-template", body)
        text = answer.get("prompt") if isinstance(answer, Mapping) else None
        if not isinstance(text, str):
            raise malformed("/apply-template gave no prompt")
        return text

    async def _from_ids(self, ids: Sequence[int], messages: tuple[Message, ...]) -> Prompt:
        text = await self._codec.text_of(ids)
        if self._upstream.mode is UpstreamMode.IDS:
            return self._prompt(text, messages, ids=tuple(ids))
        if self._leading is None:
            self._leading = await self._put_before()
        return self._prompt(text.removeprefix(self._leading), messages, num_counted=len(ids))

    async def _put_before(self) -> str:
        """What the upstream itself puts before a text, so that it is not there twice."""
        asked = {"model": self._upstream.model, "prompt": "a"}
        whole = token_ids(await self._client.post("/tokenize", asked), "tokens")
        num = len(whole) - len(await self._codec.ids_of("a"))
        return await self._codec.text_of(whole[:num]) if num > 0 else ""

    async def _from_text(self, text: str, messages: tuple[Message, ...]) -> Prompt:
        num = len(await self._tokenized(text)) if self._upstream.counts_tokens else 0
        return self._prompt(text, messages, num_counted=num)

    async def _tokenized(self, text: str) -> list[int]:
        body = {"model": self._upstream.model, "prompt": text, "content": text}
        if self._upstream.mode is UpstreamMode.IDS:
            return await self._codec.ids_of(text)
        return token_ids(await self._client.post("/tokenize", body), "tokens")

    def _prompt(self, text: str, messages: tuple[Message, ...], **known: Any) -> Prompt:
        turns: tuple[Message, ...] = messages or ({"role": "user", "content": text},)
        return Prompt(messages=turns, text=text, model=self._upstream.model, **known)


class ChatPrompts:
    """Conversations as they are, for an upstream that renders them unseen."""

    template_options = _TEMPLATE_OPTIONS

    def __init__(self, model_name: str) -> None:
        self._model_name = model_name
        self._control = ControlMarkup(FORMATS["qwen3"])

    async def render(
        self,
        messages: Sequence[Message],
        tools: Sequence[Any],
        template_options: Mapping[str, Any],
    ) -> Prompt:
        turns, safe_tools = self._control.in_messages(messages), self._control.in_tools(tools)
        text = request_text(turns, safe_tools, template_options)
        return Prompt(messages=tuple(messages), text=text, model=self._model_name)

    async def complete(self, prompt: str | Sequence[int]) -> Prompt:
        raise ValueError(
            "the model's server offers chat completions only: ask at /v1/chat/completions"
        )

    async def tokenize(self, text: str) -> tuple[int, ...]:
        raise ValueError("the model's server does not tokenize")
