"""Stop strings, in front of any engine.

They are looked for in the answer only: one such as a blank line would otherwise cut a chain of
thought short, which no caller can foresee. The run ends with the token that completes one, so what
the guard reads and the store keeps does not depend on who was faster.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from ..guard import Channel, FinishReason, Prompt, ReasoningFormat, Segmenter, Token, TokenTable
from ..guard.backend_async import AsyncBackend, AsyncTokenStream


class StopCut:
    """Text up to the stop string that is complete first; holds back what may begin one."""

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = tuple(stops)
        self._longest = max(map(len, stops), default=0)
        self._held = ""
        self.found = False

    def feed(self, text: str) -> str:
        """What is certainly not part of a stop string."""
        if self.found:
            return ""
        if not self._stops:
            return text
        data = self._held + text
        found = [(at + len(stop), at) for stop in self._stops if (at := data.find(stop)) >= 0]
        if found:
            self.found, self._held = True, ""
            return data[: min(found)[1]]
        hold = min(len(data), self._longest - 1)
        while hold and not any(stop.startswith(data[len(data) - hold :]) for stop in self._stops):
            hold -= 1
        self._held = data[len(data) - hold :]
        return data[: len(data) - hold]

    def flush(self) -> str:
        """What was held back and became no stop string."""
        held, self._held = self._held, ""
        return held


class StoppingBackend:
    """A backend whose runs end at stop strings, which stay in the tokens."""

    def __init__(
        self, backend: AsyncBackend, stops: Sequence[str], *, everywhere: bool = False
    ) -> None:
        """`everywhere`: in the chain of thought, too, as for plain completions."""
        self._backend = backend
        self._stops = tuple(stops)
        self._everywhere = everywhere

    @property
    def reasoning_format(self) -> ReasoningFormat:
        return self._backend.reasoning_format

    def stream(
        self, prompt: Prompt, kept: TokenTable, sampling: Mapping[str, Any]
    ) -> "StoppingStream":
        reader = None
        if not self._everywhere:
            reasoning_open = self.reasoning_format.is_open(prompt.text)
            reader = Segmenter(self.reasoning_format, reasoning_open=reasoning_open)
        stream = self._backend.stream(prompt, kept, sampling)
        return StoppingStream(stream, StopCut(self._stops), reader, kept.text)

    async def encode(self, text: str, prompt: Prompt, kept: TokenTable) -> list[Token]:
        return await self._backend.encode(text, prompt, kept)


class StoppingStream:
    """One run, cut short by a stop string."""

    def __init__(
        self, stream: AsyncTokenStream, cut: StopCut, reader: Segmenter | None, before: str
    ) -> None:
        self._stream = stream
        self._cut = cut
        self._reader = reader
        self._read(before)

    @property
    def finish_reason(self) -> FinishReason:
        return FinishReason.STOP if self._cut.found else self._stream.finish_reason

    async def __aiter__(self) -> AsyncIterator[Sequence[Token]]:
        if self._cut.found:
            return
        async for tokens in self._stream:
            for number, token in enumerate(tokens, 1):
                self._read(token.text)
                if self._cut.found:
                    yield tokens[:number]
                    return
            yield tokens

    async def close(self) -> None:
        await self._stream.close()

    def _read(self, text: str) -> None:
        if self._reader is None:
            self._cut.feed(text)
            return
        for piece in self._reader.read(text):
            if piece.channel is Channel.ANSWER:
                self._cut.feed(piece.text)
