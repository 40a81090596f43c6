"""Lets an engine's stream run ahead of its reader, for engines that do not do so by themselves."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress

from .backend_async import AsyncTokenStream
from .tokens import Token
from .traces import FinishReason

_MAX_GROUPS = 64
"""Groups of tokens that may wait to be read before the engine's stream is no longer drained."""


class RunAhead:
    """Reads a stream in a task of its own; what has come meanwhile is one group."""

    runs_ahead = True
    """Such a stream needs no other task that drains it."""

    def __init__(self, stream: AsyncTokenStream) -> None:
        self._stream = stream
        self._ready: asyncio.Queue[Sequence[Token] | None] = asyncio.Queue(_MAX_GROUPS)
        self._pump = asyncio.create_task(self._read())
        self._ended = False

    @property
    def finish_reason(self) -> FinishReason:
        """The engine's, once it has ended."""
        return self._stream.finish_reason

    def __aiter__(self) -> AsyncIterator[Sequence[Token]]:
        return self

    async def __anext__(self) -> Sequence[Token]:
        group: list[Token] = []
        while not self._ended and not (group and self._ready.empty()):
            tokens = await self._ready.get()
            if tokens is None:
                self._ended = True
            else:
                group.extend(tokens)
        if group:
            return group
        await self._pump  # raises what the engine raised
        raise StopAsyncIteration

    async def close(self) -> None:
        """Ends the task and the stream; what has not been read is dropped."""
        self._pump.cancel()
        with suppress(asyncio.CancelledError, Exception):
            await self._pump
        await self._stream.close()

    async def _read(self) -> None:
        try:
            async for tokens in self._stream:
                await self._ready.put(tokens)
        except Exception:
            await self._ready.put(None)
            raise
        await self._ready.put(None)
