"""A bounded queue of one reader, which can be told at once that there is nothing to wait for."""

import asyncio
from collections import deque
from typing import Generic, TypeVar

Item = TypeVar("Item")


class Mailbox(Generic[Item]):
    """Items from several writers, in the order in which they come."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._items: deque[Item] = deque()
        self._error: BaseException | None = None
        self._filled = asyncio.Event()
        self._taken = asyncio.Event()

    async def put(self, item: Item) -> None:
        """Waits while the reader is behind."""
        while len(self._items) >= self._capacity:
            self._taken.clear()
            await self._taken.wait()
        self._items.append(item)
        self._filled.set()

    def fail(self, error: BaseException) -> None:
        """The reader gets this next, whatever else waits."""
        self._error = self._error or error
        self._filled.set()

    async def get(self) -> Item:
        """The next item, once there is one. Raises what `fail` was given."""
        while True:
            if self._error is not None:
                raise self._error
            if self._items:
                item = self._items.popleft()
                self._taken.set()
                return item
            self._filled.clear()
            await self._filled.wait()
