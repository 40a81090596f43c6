"""Answers that notice when their client has gone, or no longer takes anything."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from typing import Any, TypeVar

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from .wire_sse import compact_json

Result = TypeVar("Result")


class ClientGone(Exception):
    """Nobody is there to read the answer."""


class ApiResponse(Response):
    """One record as JSON."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        """The record as JSON."""
        return compact_json(content)


class EventStream(Response):
    """Server-sent events; the generator has ended before `on_close` is called, which always is.

    `taken_s` is how long the client may leave an event untaken.
    """

    media_type = "text/event-stream"

    def __init__(
        self, events: AsyncGenerator[bytes], *, taken_s: float, on_close: Callable[[], None]
    ) -> None:
        super().__init__(headers={"x-accel-buffering": "no"})
        del self.headers["content-length"]
        self._events = events
        self._taken_s = taken_s
        self._on_close = on_close

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await until_gone(receive, self._write(send))
        except ClientGone:
            pass  # what there was has been recorded as cancelled
        finally:
            self._on_close()

    async def _write(self, send: Send) -> None:
        head = {"type": "http.response.start", "status": 200, "headers": self.raw_headers}
        async with aclosing(self._events) as events:
            await send(head)
            async for event in events:
                body = {"type": "http.response.body", "body": event, "more_body": True}
                try:
                    async with asyncio.timeout(self._taken_s):
                        await send(body)
                except (TimeoutError, OSError) as error:
                    raise ClientGone from error
            await send({"type": "http.response.body", "body": b"", "more_body": False})


async def until_gone(receive: Receive, work: Awaitable[Result]) -> Result:
    """The result of `work`, unless the client goes first: then `work` is cancelled, and
    `ClientGone` raised when it has come to its end. The request's body has been read."""
    task = asyncio.ensure_future(work)
    gone = asyncio.ensure_future(_disconnected(receive))
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        raise ClientGone
    finally:
        for each in (task, gone):
            each.cancel()
        await asyncio.gather(task, gone, return_exceptions=True)


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
