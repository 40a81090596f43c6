"""The choices of one request side by side: deltas as they are released, traces at last.

Both the streamed and the whole answer are made from here.
"""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass

from ..guard import Finished, Released, Retracted, Trace
from .server_choices import Choice
from .server_mailbox import Mailbox
from .server_service import Service
from .wire_deltas import Delta

_MAX_WAITING = 32
"""Deltas that may wait for a client before the generations wait for it, too."""


@dataclass(frozen=True, slots=True)
class Part:
    """Something of one choice: its next delta, or its end."""

    index: int
    delta: Delta
    trace: Trace | None = None
    """At the end, after which nothing comes of this choice."""


async def parts_of(
    service: Service, choices: Sequence[Choice], pause_s: float
) -> AsyncGenerator[Part | None]:
    """The parts of all choices as they come; `None` after every `pause_s` without one.

    A choice that fails ends all of them, and raises. Closing the iterator ends the generations;
    when it is closed, all their traces have been handed over.
    """
    with service.mailbox(_MAX_WAITING) as mailbox:
        tasks = [
            asyncio.create_task(_fill(mailbox, index, choice))
            for index, choice in enumerate(choices)
        ]
        try:
            num_left = len(tasks)
            while num_left:
                pause = asyncio.timeout(pause_s)
                try:
                    async with pause:
                        part = await mailbox.get()
                except TimeoutError:
                    if not pause.expired():
                        raise  # the engine's own
                    yield None
                    continue
                num_left -= part.trace is not None
                yield part
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


async def _fill(mailbox: Mailbox[Part], index: int, choice: Choice) -> None:
    deltas = choice.deltas
    try:
        async with aclosing(choice.events()) as events:
            async for event in events:
                if isinstance(event, (Released, Retracted)):
                    delta = deltas.take(event)
                    if delta:
                        await mailbox.put(Part(index, delta))
                elif isinstance(event, Finished):
                    await mailbox.put(Part(index, deltas.flush(), event.trace))
    except Exception as error:
        mailbox.fail(error)
