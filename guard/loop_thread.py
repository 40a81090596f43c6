"""An event loop in a thread of its own, for code that waits without being asynchronous."""

import asyncio
from collections.abc import Coroutine
from concurrent.futures import Future
from threading import Event as Flag
from threading import Thread
from typing import Any, TypeVar

T = TypeVar("T")

_GRACE_S = 10.0
"""How long a coroutine that is cut off may take to end."""


class LoopThread:
    """The loop runs until `close`; the thread never keeps the interpreter from ending."""

    def __init__(self, name: str) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = Thread(target=self.loop.run_forever, name=name, daemon=True)
        self._thread.start()

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Its result. Whatever interrupts the waiting (Ctrl-C) cancels it, and leaves after it."""
        running = Running(self, coroutine)
        try:
            return running.future.result()
        except BaseException:
            running.cancel()
            raise

    def close(self) -> None:
        """Cancels what still runs and ends the thread; may be called again."""
        if self.loop.is_closed():
            return
        self.run(_cancel_others())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()


class Running:
    """A coroutine under way on a loop's thread."""

    def __init__(self, thread: LoopThread, coroutine: Coroutine[Any, Any, Any]) -> None:
        self._ended = Flag()
        self.future: Future[Any] = asyncio.run_coroutine_threadsafe(
            self._whole(coroutine), thread.loop
        )

    def cancel(self) -> None:
        """Ends it and waits until it has ended; nothing happens if it has already."""
        self.future.cancel()
        self._ended.wait(_GRACE_S)

    async def _whole(self, coroutine: Coroutine[Any, Any, T]) -> T:
        try:
            return await coroutine
        finally:
            self._ended.set()


async def _cancel_others() -> None:
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
