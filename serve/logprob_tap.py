"""Log probabilities of the tokens that are released, for callers who asked for them.

They are read off the engine's runs and kept beside the session's own table of tokens, by position,
so that what is rolled back takes its values along. Tokens that the guard put in were not sampled:
they have none, and are left out.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..guard import (
    Author,
    Channel,
    Guard,
    Prompt,
    ReasoningFormat,
    Session,
    Token,
    TokenTable,
)
from ..guard.backend_async import AsyncBackend, AsyncTokenStream
from ..guard.tokens import TokenLogprob
from ..guard.traces import FinishReason


@dataclass(frozen=True, slots=True)
class GivenLogprob:
    """One entry of an answer."""

    value: TokenLogprob
    offset: int
    """Where its token begins in the generated text."""

    end: int
    """Where its token ends there."""


class LogprobTap:
    """The values of one choice."""

    def __init__(self, *, everywhere: bool) -> None:
        """`everywhere`: of the chain of thought and of markup too, as for plain completions; else
        of the answer only, from its first word on."""
        self._everywhere = everywhere
        self._begun = everywhere
        self._kept = TokenTable()
        self._values: list[TokenLogprob | None] = []
        self._ends: list[int] = []  # of the tokens that have been given or passed over

    def backend(self, backend: AsyncBackend) -> "TappedBackend":
        """`backend`, read along."""
        return TappedBackend(backend, self)

    def guard(self, guard: Guard) -> Guard:
        """`guard`, with this looking on: the session's tokens say what is kept."""
        others = guard.watch

        def watch(session: Session) -> None:
            self._kept = session.tokens
            if others is not None:
                others(session)

        return Guard(
            guard.detector,
            guard.config,
            triggers=guard.triggers,
            record=guard.record,
            watch=watch,
        )

    def begin(self, num_kept: int) -> None:
        """A run begins after so many tokens."""
        del self._values[num_kept:]
        self._values += [None] * (num_kept - len(self._values))

    def add(self, tokens: Sequence[Token]) -> None:
        """What the run has sampled."""
        self._values += [token.logprob for token in tokens]

    def released(self, end: int) -> tuple[GivenLogprob, ...]:
        """Of the tokens that lie wholly before the offset `end` and have not been given yet."""
        given: list[GivenLogprob] = []
        kept, ends = self._kept, self._ends
        while len(ends) < len(kept):
            position, start = len(ends), ends[-1] if ends else 0
            after = start + len(kept.texts[position])
            if after > end:
                break
            ends.append(after)
            value = self._values[position] if position < len(self._values) else None
            sampled = kept.authors[position] is Author.SAMPLED
            wanted = self._everywhere or kept.channels[position] is Channel.ANSWER
            self._begun = self._begun or (wanted and not kept.texts[position].isspace())
            wanted = wanted and self._begun
            if value is not None and sampled and wanted:
                given.append(GivenLogprob(value, start, after))
        return tuple(given)

    def retracted(self, end: int) -> None:
        """The text stays up to `end` only."""
        while self._ends and self._ends[-1] > end:
            self._ends.pop()


class TappedBackend:
    """A backend whose tokens are noted as they come."""

    def __init__(self, backend: AsyncBackend, tap: LogprobTap) -> None:
        self._backend = backend
        self._tap = tap

    @property
    def reasoning_format(self) -> ReasoningFormat:
        return self._backend.reasoning_format

    def stream(
        self, prompt: Prompt, kept: TokenTable, sampling: Mapping[str, Any]
    ) -> "TappedStream":
        self._tap.begin(len(kept))
        return TappedStream(self._backend.stream(prompt, kept, sampling), self._tap)

    async def encode(self, text: str, prompt: Prompt, kept: TokenTable) -> list[Token]:
        return await self._backend.encode(text, prompt, kept)


class TappedStream:
    """One run."""

    def __init__(self, stream: AsyncTokenStream, tap: LogprobTap) -> None:
        self._stream = stream
        self._tap = tap

    @property
    def finish_reason(self) -> FinishReason:
        return self._stream.finish_reason

    async def __aiter__(self) -> AsyncIterator[Sequence[Token]]:
        async for tokens in self._stream:
            self._tap.add(tokens)
            yield tokens

    async def close(self) -> None:
        await self._stream.close()
