"""The application: one service behind FastAPI."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp

from .server_edge import Edge
from .server_responses import ApiResponse
from .server_routes import Routes
from .server_service import Service
from .wire_errors import ApiError

_NO_TELEMETRY: dict[str, bool] = {
    "tracing": False,
    "metrics": False,
    "logs": False,
    "operation_spans": False,
    "auto_configure": False,
}
"""FastAPI's own, where its version has some, would export exception messages, which may quote a
request; ours is in the edge."""


def new_app(service: Service) -> ASGIApp:
    """The application of `service`, which it starts and closes."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncGenerator[None]:
        loading = asyncio.create_task(service.start())
        try:
            yield
        finally:
            await loading
            await service.close()

    app = FastAPI(
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        telemetry=_NO_TELEMETRY,
    )
    app.router.redirect_slashes = False
    Routes(service).add_to(app)
    app.add_exception_handler(HTTPException, _in_api_shape)
    return Edge(app, service)


async def _in_api_shape(_: Request, error: Exception) -> Response:
    """The router's own: no such path, no such method."""
    assert isinstance(error, HTTPException)
    message = "there is no such path here" if error.status_code == 404 else str(error.detail)
    known = ApiError(error.status_code, message, code="not_found")
    return ApiResponse(known.body, known.status, error.headers)
