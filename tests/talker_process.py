"""A server of talkers as a process of its own, for tests of faults; its options are JSON.

Its metrics have two gauges more: the engine's open runs, and the tasks of the event loop.
"""

import asyncio
import json
import resource
import signal
import sys
from collections import deque

from fakes import WordDetector
from serving import BAD, PLAIN_TRIGGERS
from talker import Talker, TalkerEngine

from rerail.guard import Detector, GuardConfig, Store
from rerail.serve.api_keys import ApiKeys
from rerail.serve.server_run import run_server
from rerail.serve.server_service import Parts, Service
from rerail.serve.server_settings import ServerSettings
from rerail.serve.trace_writer import TraceWriter, WhenUnstored


def _words(raise_on: str | None) -> Detector:
    detector = WordDetector(at_end=[BAD], raise_on=raise_on)
    detector.read = deque(maxlen=4)  # type: ignore[assignment]  # it must not grow
    detector.started = deque(maxlen=4)  # type: ignore[assignment]
    return detector


def _student() -> Detector:
    from rerail.guard.detector_student import StudentDetector

    return StudentDetector.from_folder()


def main() -> int:
    options = json.loads(sys.argv[1])
    store = Store(options["store"], timeout_s=0.5) if "store" in options else None
    if "max_file_bytes" in options:  # writing beyond it fails, as on a full disk
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        limit = options["max_file_bytes"]
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    talker = Talker(delay_s=options.get("delay_s", 0.0))
    detector = _student() if options.get("student") else _words(options.get("raise_on"))
    engine = TalkerEngine(talker, max_model_len=5000)
    engine.rendered = deque(maxlen=4)  # type: ignore[assignment]
    service = Service(
        lambda: Parts(engine, detector, PLAIN_TRIGGERS),
        GuardConfig(**options.get("config", {})),
        ServerSettings(port=0, drain_s=options.get("drain_s", 30.0), max_concurrent=2000),
        ApiKeys(anonymous_trusted=True),
        TraceWriter(
            store,
            capacity=options.get("store_buffer", 5000),
            when_unstored=WhenUnstored(options.get("when_unstored", "refuse")),
            first_pause_s=0.05,
        ),
    )
    service.metrics.watch("test_open_runs", "Open.", lambda: talker.num_open)
    service.metrics.watch("test_tasks", "Tasks.", lambda: len(asyncio.all_tasks()))
    return 0 if run_server(service) else 1


if __name__ == "__main__":
    sys.exit(main())
