"""`chat.completion` and `chat.completion.chunk`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from openai.types.chat import ChatCompletion, ChatCompletionChunk

from ..guard import Trace
from .logprob_tap import GivenLogprob
from .wire_answer import finish_word
from .wire_deltas import Delta, Whole
from .wire_logprobs import chat_logprobs


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatAnswer:
    """Writes the records of one request."""

    id: str
    created: int
    """Seconds since 1970."""

    model: str
    reasoning_name: str = "reasoning_content"
    """What the field of the chain of thought is called."""

    include_usage: bool = False
    num_top_logprobs: int | None = None
    """`None` where no log probabilities are wanted."""

    def opening(self, index: int) -> list[dict[str, Any]]:
        return [self._chunk(index, {"role": "assistant", "content": ""}, None)]

    def chunk(self, index: int, delta: Delta) -> dict[str, Any]:
        record: dict[str, Any] = {}
        if delta.reasoning:
            record[self.reasoning_name] = delta.reasoning
        if delta.content:
            record["content"] = delta.content
        if delta.tool_calls:
            record["tool_calls"] = [call.record(streamed=True) for call in delta.tool_calls]
        return self._chunk(index, record, None, self._logprobs(delta.logprobs))

    def closing(self, index: int, trace: Trace, whole: Whole) -> dict[str, Any]:
        return self._chunk(index, {}, finish_word(trace, has_calls=bool(whole.tool_calls)))

    def usage(self, usage: Mapping[str, Any]) -> dict[str, Any]:
        return self._checked({**self._head("chat.completion.chunk"), "choices": [], "usage": usage})

    def whole(self, choices: list[tuple[Trace, Whole]], usage: Mapping[str, Any]) -> dict[str, Any]:
        record = {
            **self._head("chat.completion"),
            "choices": [
                {
                    "index": index,
                    "message": self._message(whole),
                    "logprobs": self._logprobs(whole.logprobs),
                    "finish_reason": finish_word(trace, has_calls=bool(whole.tool_calls)),
                }
                for index, (trace, whole) in enumerate(choices)
            ],
            "usage": usage,
        }
        ChatCompletion.model_validate(record)
        return record

    def _message(self, whole: Whole) -> dict[str, Any]:
        has_calls = bool(whole.tool_calls)
        message: dict[str, Any] = {
            "role": "assistant",
            "content": None if has_calls and not whole.content else whole.content,
            "refusal": None,
        }
        if whole.reasoning:
            message[self.reasoning_name] = whole.reasoning
        if has_calls:
            message["tool_calls"] = [call.record(streamed=False) for call in whole.tool_calls]
        return message

    def _logprobs(self, given: Sequence[GivenLogprob]) -> dict[str, Any] | None:
        return (
            None if self.num_top_logprobs is None else chat_logprobs(given, self.num_top_logprobs)
        )

    def _chunk(
        self,
        index: int,
        delta: dict[str, Any],
        finish: str | None,
        logprobs: dict[str, Any] | None = None,
    ) -> dict[str, Any]:
        choice = {"index": index, "delta": delta, "logprobs": logprobs, "finish_reason": finish}
        record = {**self._head("chat.completion.chunk"), "choices": [choice]}
        if self.include_usage:
            record["usage"] = None
        return self._checked(record)

    def _head(self, kind: str) -> dict[str, Any]:
        return {"id": self.id, "object": kind, "created": self.created, "model": self.model}

    @staticmethod
    def _checked(record: dict[str, Any]) -> dict[str, Any]:
        ChatCompletionChunk.model_validate(record)
        return record
