"""The connections to the upstream's servers: requests, streams of events, retries, deadlines.

Nothing is tried again once something of a stream has been handed on. Whoever closes a stream closes
its connection, which is how the upstream learns that nobody wants the rest.
"""

import asyncio
import json
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing, suppress
from typing import Any

import httpx

from .json_text import json_of
from .server_address import root_of
from .upstream_errors import UpstreamError, UpstreamFault
from .upstream_events import EventReader
from .upstream_settings import UpstreamSettings

_DONE = b"[DONE]"
_DOWN_S = 5.0
"""So long a server that could not be reached is asked last."""

_BACKOFF_S = 0.1
_END_S = 0.05
"""So long an answer's end is waited for after its last event."""

_MAX_ERROR_BYTES = 1 << 16
_MAX_DETAIL_CHARS = 300


class UpstreamClient:
    """One pool of connections to servers of the same model; to be used on one event loop."""

    def __init__(
        self, urls: Sequence[str], settings: UpstreamSettings, api_key: str | None = None
    ) -> None:
        self.roots = tuple(dict.fromkeys(root_of(url) for url in urls))
        self.num_open = 0
        """Streams that have begun and not been closed."""
        self._settings = settings
        self._down_until = dict.fromkeys(self.roots, 0.0)
        self._http = new_http(httpx.AsyncClient, settings, api_key)

    async def post(self, path: str, body: Mapping[str, Any], *, turn: int = 0) -> Any:
        """The JSON answer to one request. Raises `UpstreamError`."""
        error: UpstreamError | None = None
        tried: list[str] = []
        for attempt in range(1 + self._settings.upstream_retries):
            root = self._root(turn, tried)
            try:
                async with asyncio.timeout(self._settings.upstream_stall_s):
                    answer = await self._http.post(root + path, content=_written(body))
                return answered(answer, root)
            except (httpx.HTTPError, TimeoutError) as raised:
                error = self._noted(raised, root)
            except UpstreamError as raised:
                error = raised
            if not error.is_passing:
                break
            await asyncio.sleep(_BACKOFF_S * attempt)
        assert error is not None
        raise error

    async def records(
        self,
        path: str,
        body: Mapping[str, Any],
        *,
        turn: int = 0,
        accepted: Callable[[], None] | None = None,
    ) -> AsyncGenerator[list[dict[str, Any]]]:
        """The records of a stream of events, in the groups in which they arrive; `accepted` is
        called when an answer has begun.

        Ends after `[DONE]`, or where the upstream ends. Raises `UpstreamError`; attempts of which
        nothing has come are repeated, on the next server where there are several.
        """
        self.num_open += 1
        tried: list[str] = []
        try:
            for attempt in range(1 + self._settings.upstream_retries):
                root = self._root(turn, tried)
                some = False
                try:
                    async with aclosing(self._events(root, path, body, accepted)) as groups:
                        async for group in groups:
                            if group:
                                some = True
                                yield group
                    return
                except (httpx.HTTPError, TimeoutError, UpstreamError) as raised:
                    error = self._noted(raised, root)
                    last = attempt == self._settings.upstream_retries
                    if some or last or not error.is_passing:
                        raise error from raised
                await asyncio.sleep(_BACKOFF_S * attempt)
        finally:
            self.num_open -= 1

    async def reachable(self) -> bool:
        """Whether one of the servers answers now."""
        for root in self.roots:
            try:
                async with asyncio.timeout(2.0):
                    if (await self._http.get(f"{root}/v1/models")).is_success:
                        return True
            except (httpx.HTTPError, TimeoutError):
                continue
        return False

    async def close(self) -> None:
        """Closes all connections."""
        await self._http.aclose()

    async def _events(
        self,
        root: str,
        path: str,
        body: Mapping[str, Any],
        accepted: Callable[[], None] | None,
    ) -> AsyncGenerator[list[dict[str, Any]]]:
        request = self._http.build_request("POST", root + path, content=_written(body))
        async with asyncio.timeout(self._settings.upstream_first_s):
            response = await self._http.send(request, stream=True)
        try:
            if not response.is_success:
                raise refused(response.status_code, await _beginning(response), root)
            kind = response.headers.get("content-type", "")
            if not kind.startswith("text/event-stream"):
                raise UpstreamError(
                    UpstreamFault.MALFORMED,
                    f"the upstream {root} sent {kind[:60] or 'something'} instead of a stream of "
                    "events",
                )
            if accepted is not None:
                accepted()
            reader, chunks = EventReader(), response.aiter_raw()
            limit_s = self._settings.upstream_first_s
            ended = False
            while not ended:
                async with asyncio.timeout(limit_s):
                    chunk = await anext(chunks, None)
                ended = chunk is None
                found = reader.flush() if chunk is None else reader.feed(chunk)
                if _DONE in found:
                    found, ended = found[: found.index(_DONE)], True
                records = [_record(data, root) for data in found]
                if records:
                    limit_s = self._settings.upstream_stall_s
                    yield records
            await _to_its_end(chunks)
        finally:
            await response.aclose()

    def _root(self, turn: int, tried: list[str]) -> str:
        """Which server to ask next: by turns, those that could not be reached lately last."""
        if len(self.roots) == 1:
            return self.roots[0]
        start = turn % len(self.roots)
        order = [*self.roots[start:], *self.roots[:start]]
        now = time.monotonic()
        root = min(order, key=lambda each: (tried.count(each), self._down_until[each] > now))
        tried.append(root)
        return root

    def _noted(self, raised: Exception, root: str) -> UpstreamError:
        error = raised if isinstance(raised, UpstreamError) else told(raised, root)
        if error.fault is UpstreamFault.UNREACHABLE:
            self._down_until[root] = time.monotonic() + _DOWN_S
        return error


def new_http(kind: Any, settings: UpstreamSettings, api_key: str | None) -> Any:
    """A client of this kind (asynchronous or not) that reads no proxies from the environment."""
    headers = {"content-type": "application/json", "accept-encoding": "identity"}
    if api_key:
        headers["authorization"] = f"Bearer {api_key}"
    return kind(
        headers=headers,
        timeout=httpx.Timeout(None, connect=settings.upstream_connect_s),
        limits=httpx.Limits(max_connections=None, max_keepalive_connections=256),
        trust_env=False,
    )


def answered(response: httpx.Response, root: str) -> Any:
    """The JSON of a whole answer. Raises `UpstreamError` for a refusal, or what is no JSON."""
    if not response.is_success:
        raise refused(response.status_code, response.content, root)
    try:
        return json_of(response.content)
    except ValueError:
        path = response.request.url.path
        message = f"the upstream {root} answered {path} with something that is no JSON"
        raise UpstreamError(UpstreamFault.MALFORMED, message) from None


def refused(status: int, body: bytes, root: str) -> UpstreamError:
    """An answer that is none."""
    detail = _detail(body)
    if status in (401, 403):
        return UpstreamError(
            UpstreamFault.UNAUTHORIZED,
            f"the upstream {root} wants another API key ({status}): set RERAIL_UPSTREAM_API_KEY",
        )
    if status in (429, 503):
        fault, what = UpstreamFault.BUSY, "is busy"
    elif status >= 500:
        fault, what = UpstreamFault.FAILED, "failed"
    else:
        fault, what = UpstreamFault.REFUSED, "refused the request"
    return UpstreamError(fault, f"the upstream {root} {what} ({status})", detail=detail)


def told(error: Exception, root: str) -> UpstreamError:
    """What a connection's own error means."""
    if isinstance(error, (httpx.ConnectError, httpx.ConnectTimeout, httpx.UnsupportedProtocol)):
        message = f"the upstream {root} cannot be reached: is it running?"
        return UpstreamError(UpstreamFault.UNREACHABLE, message)
    if isinstance(error, (TimeoutError, httpx.TimeoutException)):
        return UpstreamError(UpstreamFault.STALLED, f"the upstream {root} has gone silent")
    cut_off = any(word in str(error) for word in ("closed", "disconnected"))
    if isinstance(error, httpx.RemoteProtocolError) and not cut_off:
        return UpstreamError(UpstreamFault.MALFORMED, f"the upstream {root} speaks no HTTP/1.1")
    return UpstreamError(
        UpstreamFault.CUT_OFF, f"the upstream {root} ended the connection in the middle"
    )


def _written(body: Mapping[str, Any]) -> bytes:
    return json.dumps(body, separators=(",", ":")).encode()


def _record(data: bytes, root: str) -> dict[str, Any]:
    try:
        record = json_of(data)
    except ValueError:
        record = None
    if not isinstance(record, dict):
        raise UpstreamError(
            UpstreamFault.MALFORMED, f"the upstream {root} sent an event that is no JSON object"
        )
    if record.get("error"):
        error = record["error"]
        code = error.get("code") if isinstance(error, dict) else None
        raise refused(code if isinstance(code, int) else 500, data, root)
    return record


async def _to_its_end(chunks: AsyncIterator[bytes]) -> None:
    """Takes what comes after the last event: only then can the connection serve the next request,
    and a new one costs as much as several tokens."""
    with suppress(httpx.HTTPError, TimeoutError):
        async with asyncio.timeout(_END_S):
            async for _ in chunks:
                pass


async def _beginning(response: httpx.Response) -> bytes:
    body = b""
    async for chunk in response.aiter_raw():
        body += chunk
        if len(body) > _MAX_ERROR_BYTES:
            break
    return body


def _detail(body: bytes) -> str:
    """What the upstream says went wrong, on one line."""
    try:
        record = json_of(body)
    except ValueError:
        return ""
    for name in ("error", "message", "detail"):
        while isinstance(record, dict) and name in record:
            record = record[name]
    return " ".join(record.split())[:_MAX_DETAIL_CHARS] if isinstance(record, str) else ""
