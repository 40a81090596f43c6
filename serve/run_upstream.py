"""One conversation answered by an upstream under the guard, for code that is not asynchronous."""

import asyncio
from collections.abc import AsyncGenerator, Generator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from ..guard import Event, Guard, Message, Policy
from ..guard.judge_service import JudgeService
from ..guard.loop_async import guarded_async
from .engine_upstream import UpstreamEngine

_MAX_NEW_TOKENS = 4096


def upstream_events(
    engine: UpstreamEngine,
    guard: Guard,
    messages: Sequence[Message],
    sampling: Mapping[str, Any],
    *,
    seed: int,
) -> Generator[Event, None, None]:
    """The events as they happen, `Finished` last; closes the engine at the end.

    Closing the iterator, or an interrupt, ends the generation at the upstream, and its trace is
    recorded as cancelled. Raises ValueError for a policy that the upstream cannot be guarded with.
    """
    why_not = engine.why_no_intervention
    if why_not and guard.detector is not None and guard.config.policy is Policy.INTERVENE:
        raise ValueError(why_not)
    with asyncio.Runner() as runner:
        events = _events(engine, guard, messages, sampling, seed)
        try:
            while (event := runner.run(_next(events))) is not None:
                yield event
        finally:
            runner.run(_close(events, engine))


async def _next(events: AsyncGenerator[Event]) -> Event | None:
    return await anext(events, None)


async def _close(events: AsyncGenerator[Event], engine: UpstreamEngine) -> None:
    await events.aclose()
    await engine.close()


async def _events(
    engine: UpstreamEngine,
    guard: Guard,
    messages: Sequence[Message],
    sampling: Mapping[str, Any],
    seed: int,
) -> AsyncGenerator[Event]:
    prompt = await engine.prompts.render(messages, (), {})
    room = engine.max_model_len - prompt.num_tokens
    if room < 1:
        raise ValueError(
            f"the prompt has {prompt.num_tokens} tokens, and the model's context holds "
            f"{engine.max_model_len}: shorten it"
        )
    length = min(sampling.get("max_new_tokens", _MAX_NEW_TOKENS), room)
    own = {**sampling, "max_new_tokens": length, "seed": seed}
    with JudgeService(guard.detector) as service:
        asked = replace(prompt, sampling=own, seed=seed)
        events = guarded_async(engine.backend, guard, service, asked, own)
        try:
            async for event in events:
                yield event
        finally:
            await events.aclose()
