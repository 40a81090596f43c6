"""A model behind another server's `/v1/completions`, which is asked to continue what is kept.

A rollback is a new request: what is kept and injected is its prompt, and an upstream with a prefix
cache reads the end of it only. A stream that goes on asks the same server again, whose cache has
its beginning. Nothing of torch, transformers or vLLM is needed here.
"""

import hashlib
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from typing import Any

from .prompt import Prompt
from .reasoning_format import ReasoningFormat
from .tokens import Token, TokenTable
from .traces import FinishReason
from .upstream_client import UpstreamClient
from .upstream_codecs import ChunkReader, TokenCodec, malformed
from .upstream_errors import UpstreamError, UpstreamFault

_REASONS: Mapping[str, FinishReason] = {
    "length": FinishReason.LENGTH,
    "content_filter": FinishReason.CONTENT_FILTER,
}
_BROKEN = ("abort", "error")
"""Finish reasons of a generation that has not come to its end."""


class AsyncUpstreamBackend:
    """Streams one model of an upstream, with ids or with text (see `upstream_codecs`)."""

    def __init__(
        self,
        client: UpstreamClient,
        model: str,
        codec: TokenCodec,
        *,
        reasoning_format: ReasoningFormat,
    ) -> None:
        self.reasoning_format = reasoning_format
        self._client = client
        self._model = model
        self._codec = codec

    @property
    def num_open(self) -> int:
        """Runs under way at the upstream."""
        return self._client.num_open

    def stream(
        self, prompt: Prompt, kept: TokenTable, sampling: Mapping[str, Any]
    ) -> "UpstreamStream":
        """`sampling` goes to the upstream as it is, but for the lengths and the seed: a run that
        goes on draws from a seed of its own, so that it does not repeat the draws of the first."""
        body = {**sampling, **self._codec.fields}
        left = body.pop("max_new_tokens") - len(kept)
        if "min_tokens" in body:
            body["min_tokens"] = max(0, body["min_tokens"] - len(kept))
        if "logprobs" in body:
            body["logprobs"] = max(1, body["logprobs"])  # some take 0 for none at all
        turn = body.get("seed", 0)
        if "seed" in body:
            body["seed"] = run_seed(turn, len(kept.text))
        body |= {
            "model": body.pop("lora", self._model),
            "prompt": self._codec.context(prompt, kept),
            "max_tokens": left,
            "stream": True,
        }
        reader = self._codec.reader(prompt, kept)
        return UpstreamStream(self._client, "/v1/completions", body, reader, left, turn)

    async def encode(self, text: str, prompt: Prompt, kept: TokenTable) -> list[Token]:
        """`text` as tokens to follow the kept ones; raises UpstreamError where the upstream has to
        be asked and cannot."""
        return await self._codec.encode(text, prompt, kept)


class UpstreamStream:
    """One request's answer. Closing it closes the connection, which ends the generation there."""

    def __init__(
        self,
        client: UpstreamClient,
        path: str,
        body: Mapping[str, Any],
        reader: ChunkReader,
        left: int,
        turn: int,
    ) -> None:
        self.finish_reason = FinishReason.LENGTH
        self.on_accepted: Callable[[], None] = _nobody_waits
        self._client = client
        self._path = path
        self._body = body
        self._reader = reader
        self._left = left
        self._turn = turn
        self._run = self._tokens()

    def __aiter__(self) -> AsyncGenerator[Sequence[Token]]:
        return self._run

    async def close(self) -> None:
        """Ends the request; the upstream stops generating."""
        await self._run.aclose()

    async def _tokens(self) -> AsyncGenerator[Sequence[Token]]:
        if self._left <= 0:
            return
        ended = False
        groups = self._client.records(
            self._path, self._body, turn=self._turn, accepted=self.on_accepted
        )
        try:
            async for records in groups:
                tokens: list[Token] = []
                for record in records:
                    choice = choice_of(record)
                    if choice is not None:
                        tokens += self._reader.tokens(choice)
                        ended = self._ends(choice) or ended
                beyond = len(tokens) > self._left  # it knows no max_tokens
                if beyond:
                    ended, tokens = True, tokens[: self._left]
                    self.finish_reason = FinishReason.LENGTH
                self._left -= len(tokens)
                if tokens:
                    yield tokens
                if beyond:
                    break
        finally:
            await groups.aclose()
        if not ended:
            raise UpstreamError(
                UpstreamFault.CUT_OFF, "the upstream ended the stream before the generation"
            )

    def _ends(self, choice: Mapping[str, Any]) -> bool:
        reason = choice.get("finish_reason")
        if not reason:
            return False
        if not isinstance(reason, str):
            raise malformed("a finish reason is no word")
        if reason in _BROKEN:
            raise UpstreamError(UpstreamFault.FAILED, "the upstream gave the generation up")
        self.finish_reason = _REASONS.get(reason, FinishReason.STOP)
        return True


def _nobody_waits() -> None:
    pass


def choice_of(record: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The only choice of a chunk; `None` for one that counts tokens."""
    choices = record.get("choices")
    if not isinstance(choices, list) or not all(isinstance(each, dict) for each in choices):
        raise malformed("a chunk has no choices")
    return choices[0] if choices else None


def run_seed(seed: int, num_chars: int) -> int:
    """The seed of a run that goes on after so many kept characters; the first run's is its own.

    Characters, since an upstream that sends text alone puts several tokens into a chunk when it is
    busy, and the same request has to give the same answer then.
    """
    if not num_chars:
        return seed
    digest = hashlib.sha256(f"{seed}:{num_chars}".encode()).digest()
    return int.from_bytes(digest[:6], "big")
