"""The guarded loop for engines that stream many generations at once.

The engine runs ahead while a verdict is pending: what it has produced meanwhile is read next, or
rolled back with the cue. The state machine is the one of loop.py; only the waiting differs.
"""

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Any

from .backend_async import AsyncBackend
from .events import Event
from .guard import Guard
from .judge_service import JudgeService
from .prompt import Prompt
from .run_ahead import RunAhead
from .session import Session
from .traces import FinishReason


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
    if not getattr(stream, "runs_ahead", False):
        stream = RunAhead(stream)
    groups = aiter(stream)
    try:
        ended = False
        while not ended and session.directive is None:
            try:
                session.feed(await anext(groups))
            except StopAsyncIteration:
                ended = True
                session.end(stream.finish_reason)
            await service.judge(session)
            for event in session.take_events():
                yield event
    finally:
        await stream.close()
