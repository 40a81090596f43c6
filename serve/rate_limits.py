"""How much each caller may ask for: requests a minute, and generations at a time."""

import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass

from .api_keys import Caller
from .wire_errors import ApiError, ErrorType, overloaded


@dataclass(slots=True)
class _Bucket:
    """Tokens that refill with time; a request takes one."""

    level: float
    at_s: float
    num_running: int = 0


class RateLimits:
    """The counts of all callers; for one event loop. Callers are as many as there are keys."""

    def __init__(
        self,
        *,
        requests_per_minute: float | None,
        max_concurrent_per_key: int | None,
        max_concurrent: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._per_minute = requests_per_minute
        self._per_key = max_concurrent_per_key
        self._max_concurrent = max_concurrent
        self._clock = clock
        self._buckets: dict[str, _Bucket] = {}
        self.num_running = 0
        """Generations of all callers."""

    def request(self, caller: Caller) -> None:
        """Counts a request. Raises `ApiError` 429 where there have been too many."""
        rate = caller.requests_per_minute or self._per_minute
        if rate is None:
            return
        bucket, now = self._bucket(caller, rate), self._clock()
        bucket.level = min(rate, bucket.level + (now - bucket.at_s) * rate / 60)
        bucket.at_s = now
        if bucket.level < 1:
            raise ApiError(
                429,
                f"more than {rate:g} requests a minute with this key: slow down",
                ErrorType.RATE_LIMIT,
                code="rate_limit_exceeded",
                retry_after_s=(1 - bucket.level) * 60 / rate,
            )
        bucket.level -= 1

    @contextmanager
    def generations(self, caller: Caller, num: int) -> Generator[None]:
        """Counts so many generations while they run.

        Raises `ApiError`: 429 where they are too many for the key, 503 for the whole server.
        """
        bucket = self._bucket(caller, caller.requests_per_minute or self._per_minute or 0)
        limit = caller.max_concurrent or self._per_key
        if limit is not None and bucket.num_running + num > limit:
            raise ApiError(
                429,
                f"more than {limit} generations at a time with this key: wait for one to end",
                ErrorType.RATE_LIMIT,
                code="concurrency_limit_exceeded",
                retry_after_s=1.0,
            )
        if self.num_running + num > self._max_concurrent:
            raise overloaded("the server is busy: try again in a moment", "overloaded")
        bucket.num_running += num
        self.num_running += num
        try:
            yield
        finally:
            bucket.num_running -= num
            self.num_running -= num

    def _bucket(self, caller: Caller, rate: float) -> _Bucket:
        if caller.name not in self._buckets:
            self._buckets[caller.name] = _Bucket(level=rate, at_s=self._clock())
        return self._buckets[caller.name]
