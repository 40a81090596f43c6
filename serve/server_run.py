"""Runs the application: listens, drains on SIGTERM, ends."""

import asyncio
import signal
import socket

import uvicorn
from starlette.types import ASGIApp

from .server_app import new_app
from .server_logs import log_event, set_up_logs
from .server_service import Service
from .server_settings import ServerSettings

_GRACE_S = 5.0
"""After the drain: for answers that say why they end, and for the store."""


class DrainingServer(uvicorn.Server):
    """On SIGTERM takes nothing new, lets running generations end, and then ends them itself."""

    def __init__(self, app: ASGIApp, service: Service) -> None:
        settings = service.settings
        super().__init__(
            uvicorn.Config(
                app,
                host=settings.host,
                port=settings.port,
                log_config=None,
                access_log=False,
                server_header=False,
                date_header=True,
                proxy_headers=False,
                lifespan="on",
                timeout_graceful_shutdown=round(settings.drain_s + _GRACE_S),
            )
        )
        self._service = service

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listens, and says where."""
        await super().startup(sockets)
        if self.started:
            port = self.servers[0].sockets[0].getsockname()[1]
            log_event("listening", address=f"http://{self.config.host}:{port}")

    async def on_tick(self, counter: int) -> bool:
        """Ends at once where the model cannot be loaded: there is nothing to wait for."""
        return self._service.load_failure is not None or await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Called once the signal has come."""
        self._service.draining = True
        log_event("draining", generations=self._service.limits.num_running)
        loop = asyncio.get_running_loop()
        timer = loop.call_later(self._service.settings.drain_s, self._service.cut_off)
        try:
            await super().shutdown(sockets)
        finally:
            timer.cancel()


def run_server(service: Service) -> bool:
    """Serves until a signal comes; whether it could listen. Raises what loading raised."""
    set_up_logs(service.settings.log_level)
    server = DrainingServer(new_app(service), service)

    def end(*_: object) -> None:
        server.should_exit = True

    # The web server's own handler raises the signal once more when all is done; being told to end
    # is no failure, so the process ends with 0.
    signal.signal(signal.SIGTERM, end)
    server.run()
    if service.load_failure is not None:
        raise service.load_failure
    return server.started


def check_exposure(settings: ServerSettings, num_keys: int) -> None:
    """Raises `ValueError` for a server that strangers could reach and use without a key."""
    if not settings.is_loopback and not num_keys:
        raise ValueError(
            f"--host {settings.host} can be reached from other machines, so requests need a key: "
            "give --api-key-file or set RERAIL_API_KEYS, or listen at 127.0.0.1"
        )
