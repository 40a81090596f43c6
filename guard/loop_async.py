"""The guarded loop for engines that stream many generations at once.

The engine runs ahead while a verdict is pending: what it has produced meanwhile is read next, or
rolled back with the cue. The state machine is the one of loop.py; only the waiting differs.
"""

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing, suppress
from typing import Any

from .backend_async import AsyncBackend, AsyncTokenStream
from .events import Event
from .guard import Guard
from .judge_service import JudgeService
from .prompt import Prompt
from .session import Session
from .tokens import Token
from .traces import FinishReason

_RUN_AHEAD = 64
"""Groups of tokens that may wait to be read before the engine's stream is no longer drained."""


async def guarded_async(
    backend: AsyncBackend,
    guard: Guard,
    service: JudgeService,
    prompt: Prompt,
    sampling: Mapping[str, Any] | None = None,
    *,
    stream_index: int = 0,
) -> AsyncGenerator[Event]:
    """Generates under the guard; gives the events as they happen, `Finished` last.

    Closing the iterator, or cancelling the task, ends the generation in the engine; what there is
    by then is recorded as cancelled. An engine that fails is recorded as an error, and raises.
    """
    reasoning_format = backend.reasoning_format
    session = await service.open(guard, prompt, reasoning_format, stream_index=stream_index)
    ending = FinishReason.CANCELLED
    try:
        while session.trace is None:
            if session.directive is None:
                # Closed here and now, not whenever the collector gets to it.
                async with aclosing(_stream(backend, service, session, sampling or {})) as run:
                    async for event in run:
                        yield event
            if session.directive is not None:
                text = session.directive.text
                session.inject(await backend.encode(text, prompt, session.tokens))
            await service.judge(session)
            for event in session.take_events():
                yield event
    except Exception:
        ending = FinishReason.ERROR
        raise
    finally:
        if session.trace is None:
            session.cancel(ending)
        guard.finished(session)


async def _stream(
    backend: AsyncBackend, service: JudgeService, session: Session, sampling: Mapping[str, Any]
) -> AsyncGenerator[Event]:
    """Feeds one run of the engine, until it ends or the session has a directive."""
    stream = backend.stream(session.prompt, session.tokens, sampling)
    ready: asyncio.Queue[Sequence[Token] | None] = asyncio.Queue(_RUN_AHEAD)
    pump = asyncio.create_task(_pump(stream, ready))
    try:
        ended = False
        while not ended and session.directive is None:
            ended = _take(session, await ready.get())
            while not ended and not ready.empty():
                ended = _take(session, ready.get_nowait())
            if ended:
                await pump  # raises what the engine raised
                session.end(stream.finish_reason)
            await service.judge(session)
            for event in session.take_events():
                yield event
    finally:
        pump.cancel()
        with suppress(asyncio.CancelledError, Exception):
            await pump
        await stream.close()


def _take(session: Session, tokens: Sequence[Token] | None) -> bool:
    """Feeds a group of tokens; True at the end of the run."""
    if tokens is None:
        return True
    session.feed(tokens)
    return False


async def _pump(stream: AsyncTokenStream, ready: "asyncio.Queue[Sequence[Token] | None]") -> None:
    """Takes tokens from the engine as they come."""
    try:
        async for tokens in stream:
            await ready.put(tokens)
    except Exception:
        await ready.put(None)
        raise
    await ready.put(None)
