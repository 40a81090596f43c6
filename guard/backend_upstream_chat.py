"""A model behind `/v1/chat/completions` alone: it can be read and stopped, never continued.

What the upstream gives in fields (reasoning, content, tool calls) is written as the text that a
model of the `qwen3` format would have written, so that the guard reads all of it, each part in its
channel. A conversation cannot be continued from the middle of an answer, so nothing can take a
cue's place: such an upstream serves the policies `audit` and `block`.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from .backend_upstream import UpstreamStream
from .prompt import Prompt
from .reasoning_format import FORMATS, ReasoningFormat
from .tokens import Token, TokenLogprob, TokenTable
from .upstream_client import UpstreamClient
from .upstream_codecs import malformed

WHY_NO_INTERVENTION = (
    "it offers chat completions only, which cannot go on from the middle of an answer, so nothing "
    "can take a cue's place: use the policy block or audit, or a server with /v1/completions "
    "(vLLM, SGLang, llama.cpp)"
)
"""What a caller is told who asks for the policy `intervene`."""


class AsyncChatBackend:
    """Streams one model of an upstream without raw completions."""

    reasoning_format: ReasoningFormat = FORMATS["qwen3"]
    """Reasoning comes in a field of its own and is put between these tags."""

    def __init__(self, client: UpstreamClient, model: str, *, max_tokens_known: bool) -> None:
        """Without `max_tokens_known` lengths that nobody asked for are the upstream's business."""
        self._client = client
        self._model = model
        self._max_tokens_known = max_tokens_known

    @property
    def num_open(self) -> int:
        """Runs under way at the upstream."""
        return self._client.num_open

    def stream(
        self, prompt: Prompt, kept: TokenTable, sampling: Mapping[str, Any]
    ) -> UpstreamStream:
        """`prompt.text` is what `request_text` gave. Raises ValueError where tokens are kept."""
        if len(kept):
            raise ValueError(f"this upstream cannot resume: {WHY_NO_INTERVENTION}")
        body = {**json.loads(prompt.text), **sampling}
        left = body.pop("max_new_tokens")
        if "logprobs" in body:
            body |= {"logprobs": True, "top_logprobs": body["logprobs"]}
        body |= {"model": body.pop("lora", self._model), "stream": True}
        if self._max_tokens_known or left < UNBOUNDED:
            body["max_tokens"] = left
        turn = body.get("seed", 0)
        path = "/v1/chat/completions"
        return UpstreamStream(self._client, path, body, ChatReader(), left, turn)

    async def encode(self, text: str, prompt: Prompt, kept: TokenTable) -> list[Token]:
        """For what the guard says at the end; the upstream never sees it."""
        return [Token(None, text)] if text else []


UNBOUNDED = 1 << 20
"""Tokens of an answer where neither the request nor the upstream's context names a number."""


def request_text(
    messages: Sequence[Mapping[str, Any]],
    tools: Sequence[Any],
    template_options: Mapping[str, Any],
) -> str:
    """A conversation as the upstream gets it; stands for the rendered prompt."""
    request: dict[str, Any] = {"messages": [_turn(each) for each in messages]}
    if tools:
        request["tools"] = list(tools)
    if template_options:
        request["chat_template_kwargs"] = dict(template_options)
    return json.dumps(request, ensure_ascii=False)


class ChatReader:
    """One answer's deltas on their way to text with markup."""

    def __init__(self) -> None:
        self._thinking = False
        self._answering = False
        self._call: object = None
        self._num_argument_chars = 0

    def tokens(self, choice: Mapping[str, Any]) -> list[Token]:
        """The chunk's text; it ends open parts with the last chunk."""
        delta = choice.get("delta") or {}
        if not isinstance(delta, Mapping):
            raise malformed("a chunk has no delta")
        thought = delta.get("reasoning_content") or delta.get("reasoning") or ""
        content, calls = delta.get("content") or delta.get("refusal") or "", delta.get("tool_calls")
        if not isinstance(thought, str) or not isinstance(content, str):
            raise malformed("a delta's text is none")
        text = self._thought(thought) + self._content(content)
        for call in calls or ():
            text += self._called(call)
        if choice.get("finish_reason"):
            text += self._end_call()
        return [Token(None, text, True, _logprob(choice, text))] if text else []

    def _thought(self, text: str) -> str:
        if not text:
            return ""
        opening = "" if self._thinking else f"{self._end_call()}<think>\n"
        self._thinking = True
        return opening + text

    def _content(self, text: str) -> str:
        return self._end_thought() + self._end_call() + text if text else ""

    def _end_thought(self) -> str:
        was_thinking, self._thinking = self._thinking, False
        return "\n</think>\n\n" if was_thinking else ""

    def _called(self, call: Any) -> str:
        function = call.get("function") if isinstance(call, Mapping) else None
        if not isinstance(function, Mapping):
            raise malformed("a tool call has no function")
        text, index = "", call.get("index", 0)
        if self._call is None or self._call != index:
            text = self._end_thought() + self._end_call()
            text += f'<tool_call>\n{{"name": {json.dumps(function.get("name") or "")}, '
            text += '"arguments": '
            self._call, self._num_argument_chars = index, 0
        arguments = function.get("arguments") or ""
        if not isinstance(arguments, str):
            raise malformed("a tool call's arguments are no text")
        self._num_argument_chars += len(arguments)
        return text + arguments

    def _end_call(self) -> str:
        if self._call is None:
            return ""
        self._call = None
        return f"{'' if self._num_argument_chars else '{}'}}}\n</tool_call>"


def _turn(message: Mapping[str, Any]) -> dict[str, Any]:
    """A turn as the API takes it: a past call's arguments as text again."""
    turn = dict(message)
    if "tool_calls" in turn:
        turn["tool_calls"] = [_call(each) for each in turn["tool_calls"]]
    return turn


def _call(call: Mapping[str, Any]) -> dict[str, Any]:
    function = dict(call["function"])
    if not isinstance(function.get("arguments"), str):
        function["arguments"] = json.dumps(function.get("arguments") or {}, ensure_ascii=False)
    return {**call, "function": function}


def _logprob(choice: Mapping[str, Any], text: str) -> TokenLogprob | None:
    """Of a chunk that is one token; more cannot be told apart here."""
    record = choice.get("logprobs")
    content = record.get("content") if isinstance(record, Mapping) else None
    if not isinstance(content, list) or len(content) != 1:
        return None
    try:
        (entry,) = content
        top = tuple((each["token"], float(each["logprob"])) for each in entry["top_logprobs"])
        return TokenLogprob(entry["token"], float(entry["logprob"]), top)
    except (KeyError, TypeError, ValueError):
        raise malformed("logprobs are not of the API's shape") from None
