"""One run of an engine under way: it has begun when it is made, not when it is first read."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

from .backend_async import AsyncBackend, AsyncTokenStream
from .prompt import Prompt
from .run_ahead import RunAhead
from .tokens import Token, TokenTable
from .traces import FinishReason


class EngineRun:
    """Groups of tokens by `next`; to be closed in any case."""

    def __init__(
        self, backend: AsyncBackend, prompt: Prompt, kept: TokenTable, sampling: Mapping[str, Any]
    ) -> None:
        """What the backend raises, `next` raises."""
        self._stream: AsyncTokenStream | None = None
        self._groups: AsyncIterator[Sequence[Token]] | None = None
        self._accepted = asyncio.Event()
        self._first: asyncio.Task[Sequence[Token] | None] | None = asyncio.create_task(
            self._begin(backend, prompt, kept, sampling)
        )

    @property
    def finish_reason(self) -> FinishReason:
        """Why it ended; to be read when `next` has given None."""
        assert self._stream is not None
        return self._stream.finish_reason

    async def accepted(self) -> None:
        """Returns once the engine has the request, or has failed; soon, if it never says."""
        await self._accepted.wait()

    async def next(self) -> Sequence[Token] | None:
        """The tokens that have come since the last time; None at the end."""
        first, self._first = self._first, None
        if first is not None:
            return await first
        assert self._groups is not None
        return await anext(self._groups, None)

    async def close(self) -> None:
        """Ends the generation in the engine."""
        if self._first is not None:
            self._first.cancel()
            with suppress(asyncio.CancelledError, Exception):
                await self._first
        if self._stream is not None:
            await self._stream.close()

    async def _begin(
        self, backend: AsyncBackend, prompt: Prompt, kept: TokenTable, sampling: Mapping[str, Any]
    ) -> Sequence[Token] | None:
        try:
            stream = backend.stream(prompt, kept, sampling)
            if hasattr(stream, "on_accepted"):
                stream.on_accepted = self._accepted.set  # pyright: ignore[reportAttributeAccessIssue]
            else:
                self._accepted.set()
            self._stream = stream if getattr(stream, "runs_ahead", False) else RunAhead(stream)
            self._groups = aiter(self._stream)
            return await anext(self._groups, None)
        finally:
            self._accepted.set()
