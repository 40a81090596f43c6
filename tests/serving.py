"""A real server on a loopback port, in a thread of the test's own process."""

import threading
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from fakes import WordDetector

from rerail.guard import Detector, GuardConfig, Store, Trace, TriggerPool
from rerail.serve.api_keys import ApiKey, ApiKeys
from rerail.serve.engine import Engine
from rerail.serve.server_app import new_app
from rerail.serve.server_run import DrainingServer
from rerail.serve.server_service import Parts, Service
from rerail.serve.server_settings import ServerSettings
from rerail.serve.trace_writer import TraceWriter

BAD = "wicked"
"""The word that the tests' detector takes for a compliance cue at a step's end."""


PLAIN_TRIGGERS = TriggerPool(
    [each for each in TriggerPool.built_in().triggers if "{" not in each.text]
)
"""Those that quote nothing, so that tests can look for the word."""


class KeepingWriter(TraceWriter):
    """Remembers the traces, too."""

    def __init__(self, store: Store | None, **options: Any) -> None:
        super().__init__(store, **options)
        self.traces: list[Trace] = []

    def submit(self, trace: Trace) -> None:
        self.traces.append(trace)
        super().submit(trace)


@dataclass
class Running:
    """The server under test."""

    url: str
    service: Service
    server: DrainingServer
    writer: KeepingWriter
    thread: threading.Thread = field(repr=False)

    @property
    def traces(self) -> list[Trace]:
        return self.writer.traces

    def wait_for(self, holds: Any, timeout_s: float = 60.0) -> None:
        """Waits until `holds()`; fails the test if that takes too long."""
        end = time.monotonic() + timeout_s
        while not holds():
            assert time.monotonic() < end, "it did not come to that"
            time.sleep(0.02)


@contextmanager
def serving(
    engine: Engine,
    *,
    detector: Detector | str | None = "words",
    config: GuardConfig | None = None,
    keys: Sequence[ApiKey] = (),
    anonymous_trusted: bool = True,
    store: Store | None = None,
    store_options: dict[str, Any] | None = None,
    run: Callable[[DrainingServer], None] = DrainingServer.run,
    **settings: Any,
) -> Generator[Running]:
    """Runs a server until the context ends. Anonymous callers are trusted unless told otherwise.

    `run` is for engines that belong to another event loop than one of the server's own.
    """
    found = WordDetector(at_end=[BAD]) if detector == "words" else detector
    assert not isinstance(found, str)
    writer = KeepingWriter(store, **(store_options or {}))
    service = Service(
        lambda: Parts(engine, found, PLAIN_TRIGGERS),
        config or GuardConfig(),
        ServerSettings(port=0, **settings),
        ApiKeys(keys, anonymous_trusted=anonymous_trusted),
        writer,
    )
    server = DrainingServer(new_app(service), service)
    thread = threading.Thread(target=run, args=(server,), name="server under test")
    thread.start()
    running = Running("", service, server, writer, thread)
    try:
        running.wait_for(lambda: server.started and service.loaded)
        port = server.servers[0].sockets[0].getsockname()[1]
        running.url = f"http://127.0.0.1:{port}"
        yield running
    finally:
        server.should_exit = True
        thread.join(60)
        assert not thread.is_alive(), "the server does not end"
