"""The outermost layer: request ids, log lines, spans, limits on bodies, keys, safe headers.

Everything that comes in passes here, so nothing that is added later can forget a check. Pages of
web browsers are kept out twice where no key is asked for: a POST has to be JSON, which a foreign
page may not send without permission, and the Host must be a loopback name, which one that rebinds
its own name is not.
"""

import re
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .api_keys import Caller
from .server_logs import log_event
from .server_responses import ApiResponse
from .server_service import Service
from .server_spans import Span, request_span
from .wire_errors import ApiError, ErrorType

_REQUEST_ID = re.compile(r"[\w.:-]{8,128}\Z", re.ASCII)
_LOOPBACK_HOST = re.compile(r"(localhost|127(\.\d{1,3}){3}|\[::1\])(:\d+)?\Z", re.IGNORECASE)
ENDPOINTS = frozenset(
    {
        "/v1/chat/completions",
        "/v1/completions",
        "/v1/models",
        "/tokenize",
        "/health",
        "/ready",
        "/metrics",
    }
)
"""As the metrics and logs know them; a path of a caller's own invention is `other`."""

_OPEN_PATHS = frozenset({"/health", "/ready"})
_SAFE_HEADERS: Mapping[str, str] = {
    "x-content-type-options": "nosniff",
    "cache-control": "no-store",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "referrer-policy": "no-referrer",
}


@dataclass(slots=True)
class RequestState:
    """What is known of a request; the routes add to it, and the log line is made of it."""

    id: str
    began_s: float
    span: Span
    caller: Caller | None = None
    log: dict[str, Any] = field(default_factory=dict)
    """Further fields of the log line: counts and states, never text."""


class Edge:
    """ASGI middleware around the whole application."""

    def __init__(self, app: ASGIApp, service: Service) -> None:
        self._app = app
        self._service = service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        with request_span(f"{scope['method']} {scope['path'][:64]}", headers) as span:
            state = RequestState(_request_id(headers), time.monotonic(), span)
            scope["rerail"] = state
            await self._handled(scope, headers, receive, send, state)

    async def _handled(
        self, scope: Scope, headers: Headers, receive: Receive, send: Send, state: RequestState
    ) -> None:
        status = 0

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                self._add_headers(MutableHeaders(scope=message), headers, state)
            await send(message)

        try:
            try:
                answer = self._refusal(scope, headers, state)
            except ApiError as error:
                self._service.metrics.errors.labels(error.code or "other").inc()
                answer = ApiResponse(error.body, error.status, error.headers)
            if answer is not None:
                await answer(scope, receive, sending)
            else:
                await self._app(scope, self._bounded(receive), sending)
        finally:
            self._report(scope, status, state)

    def _refusal(self, scope: Scope, headers: Headers, state: RequestState) -> ApiResponse | None:
        """Raises `ApiError`, or gives the answer to a browser that asks for permission."""
        service, method, path = self._service, scope["method"], scope["path"]
        open_here = service.settings.is_loopback and not len(service.keys)
        if open_here and not _LOOPBACK_HOST.match(headers.get("host", "localhost")):
            raise ApiError(
                421, "this server answers to loopback names only", code="misdirected_request"
            )
        if method == "OPTIONS" and headers.get("origin") in service.settings.cors_origin:
            return ApiResponse({}, 200)
        if path not in _OPEN_PATHS and not (path == "/metrics" and service.settings.public_metrics):
            state.caller = service.keys.find(_bearer(headers))
            if state.caller is None:
                raise ApiError(
                    401,
                    "a valid API key is needed: send Authorization: Bearer KEY",
                    ErrorType.AUTHENTICATION,
                    code="invalid_api_key",
                )
            if path.startswith("/v1/") and method == "POST":
                service.limits.request(state.caller)
        if method == "POST":
            kind = headers.get("content-type", "").partition(";")[0].strip().lower()
            if kind != "application/json":
                raise ApiError(
                    415, "send the body as application/json", code="unsupported_media_type"
                )
            length = headers.get("content-length", "0")
            if not length.isdigit() or int(length) > service.settings.max_body_bytes:
                raise self._too_long()
        return None

    def _bounded(self, receive: Receive) -> Receive:
        num_bytes = 0

        async def bounded() -> Message:
            nonlocal num_bytes
            message = await receive()
            num_bytes += len(message.get("body", b""))
            if num_bytes > self._service.settings.max_body_bytes:
                raise self._too_long()
            return message

        return bounded

    def _too_long(self) -> ApiError:
        limit = self._service.settings.max_body_bytes
        return ApiError(413, f"the body is longer than {limit} bytes", code="body_too_long")

    def _add_headers(self, answer: MutableHeaders, headers: Headers, state: RequestState) -> None:
        answer["x-request-id"] = state.id
        for name, value in _SAFE_HEADERS.items():
            answer[name] = value
        origin = headers.get("origin")
        if origin is not None and origin in self._service.settings.cors_origin:
            answer["access-control-allow-origin"] = origin
            answer["access-control-allow-headers"] = "authorization, content-type, x-request-id"
            answer["access-control-allow-methods"] = "GET, POST"
            answer["access-control-expose-headers"] = "x-request-id"
            answer["vary"] = "origin"

    def _report(self, scope: Scope, status: int, state: RequestState) -> None:
        took_s = time.monotonic() - state.began_s
        endpoint = scope["path"] if scope["path"] in ENDPOINTS else "other"
        metrics = self._service.metrics
        metrics.requests.labels(endpoint, str(status)).inc()
        metrics.request_seconds.labels(endpoint).observe(took_s)
        state.span.set(status=status, request_id=state.id)
        if endpoint in _OPEN_PATHS or endpoint == "/metrics":
            return
        log_event(
            "request",
            request_id=state.id,
            endpoint=endpoint,
            status=status or None,
            caller=state.caller.name if state.caller is not None else None,
            duration_ms=round(1000 * took_s, 1),
            **state.log,
        )


def _request_id(headers: Headers) -> str:
    """The caller's own, where it is a sane one."""
    given = headers.get("x-request-id", "")
    return given if _REQUEST_ID.match(given) else f"req-{secrets.token_hex(12)}"


def _bearer(headers: Headers) -> str | None:
    scheme, _, key = headers.get("authorization", "").partition(" ")
    return key.strip() if scheme.lower() == "bearer" and key.strip() else None
