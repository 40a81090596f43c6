"""The guarded loop for engines that stream many generations at once.

The engine runs ahead while a verdict is pending: what it has produced meanwhile is read next, or
rolled back with the cue. The state machine is the one of loop.py; only the waiting differs.
"""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Any

from .backend_async import AsyncBackend
from .engine_run import EngineRun
from .events import Event
from .guard import Guard
from .judge_service import JudgeService
from .prompt import Prompt
from .session import Session
from .tokens import TokenTable
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
    sampling = sampling or {}
    # The engine reads the prompt while the detector reads the conversation; not before, or it would
    # take the processor that the engine needs to be told.
    run: EngineRun | None = EngineRun(backend, prompt, TokenTable(), sampling)
    left: asyncio.CancelledError | None = None
    try:
        try:
            await run.accepted()
        except asyncio.CancelledError as error:
            left = error  # recorded all the same
        session = await service.open(
            guard, prompt, backend.reasoning_format, stream_index=stream_index
        )
    except BaseException:
        await run.close()
        raise
    ending = FinishReason.CANCELLED
    try:
        if left is not None:
            raise left
        while session.trace is None:
            if session.directive is None:
                run = run or EngineRun(backend, prompt, session.tokens, sampling)
                # Closed here and now, not whenever the collector gets to it.
                async with aclosing(_read(run, service, session)) as events:
                    async for event in events:
                        yield event
                run = None
            if session.directive is not None:
                if run is not None:  # the detector could not even begin
                    await run.close()
                    run = None
                text = session.directive.text
                session.inject(await backend.encode(text, prompt, session.tokens))
            await service.judge(session)
            for event in session.take_events():
                yield event
    except Exception:
        ending = FinishReason.ERROR
        raise
    finally:
        if run is not None:
            await run.close()
        if session.trace is None:
            session.cancel(ending)
        guard.finished(session)


async def _read(run: EngineRun, service: JudgeService, session: Session) -> AsyncGenerator[Event]:
    """Feeds one run of the engine, until it ends or the session has a directive."""
    try:
        ended = False
        while not ended and session.directive is None:
            tokens = await run.next()
            if tokens is None:
                ended = True
                session.end(run.finish_reason)
            else:
                session.feed(tokens)
            await service.judge(session)
            for event in session.take_events():
                yield event
    finally:
        await run.close()
