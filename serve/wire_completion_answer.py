"""`text_completion`, whole and in chunks, which have the same shape."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from openai.types import Completion

from ..guard import Trace
from .logprob_tap import GivenLogprob
from .wire_answer import finish_word
from .wire_deltas import Delta, Whole
from .wire_logprobs import completion_logprobs


@dataclass(frozen=True, slots=True, kw_only=True)
class CompletionAnswer:
    """Writes the records of one request."""

    id: str
    created: int
    """Seconds since 1970."""

    model: str
    echoes: Sequence[str] = ()
    """The prompts to be repeated, one a choice; empty where none is."""

    include_usage: bool = False
    num_top_logprobs: int | None = None
    """`None` where no log probabilities are wanted."""

    def opening(self, index: int) -> list[dict[str, Any]]:
        return [self._chunk(index, self.echoes[index], None)] if self.echoes else []

    def chunk(self, index: int, delta: Delta) -> dict[str, Any]:
        return self._chunk(index, delta.content, None, self._logprobs(index, delta.logprobs))

    def closing(self, index: int, trace: Trace, whole: Whole) -> dict[str, Any]:
        return self._chunk(index, "", finish_word(trace))

    def usage(self, usage: Mapping[str, Any]) -> dict[str, Any]:
        record = {**self._head(), "choices": [], "usage": usage}
        Completion.model_validate(record)
        return record

    def whole(self, choices: list[tuple[Trace, Whole]], usage: Mapping[str, Any]) -> dict[str, Any]:
        record = {
            **self._head(),
            "choices": [
                _choice(
                    index,
                    (self.echoes[index] if self.echoes else "") + whole.content,
                    finish_word(trace),
                    self._logprobs(index, whole.logprobs),
                )
                for index, (trace, whole) in enumerate(choices)
            ],
            "usage": usage,
        }
        Completion.model_validate(record)
        return record

    def _logprobs(self, index: int, given: Sequence[GivenLogprob]) -> dict[str, Any] | None:
        if self.num_top_logprobs is None:
            return None
        start = len(self.echoes[index]) if self.echoes else 0
        return completion_logprobs(given, self.num_top_logprobs, start)

    def _chunk(
        self, index: int, text: str, finish: str | None, logprobs: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        record = {**self._head(), "choices": [_choice(index, text, finish, logprobs)]}
        if self.include_usage:
            record["usage"] = None
        # The package's own type has no `null` here, though the API's chunks do.
        checked = {**record, "choices": [_choice(index, text, finish or "stop", logprobs)]}
        Completion.model_validate(checked)
        return record

    def _head(self) -> dict[str, Any]:
        head = {"id": self.id, "object": "text_completion", "created": self.created}
        return {**head, "model": self.model}


def _choice(
    index: int, text: str, finish: str | None, logprobs: dict[str, Any] | None
) -> dict[str, Any]:
    return {"index": index, "text": text, "logprobs": logprobs, "finish_reason": finish}
