"""What a watcher says of running generations, and the terminal that it leaves."""

import os
import pty
import select
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from live_running import TEXTS, running

from rerail.guard import Finished, Trace
from rerail.guard.store import Store
from rerail.serve.lines import text_of
from rerail.serve.themes import MONO
from rerail.serve.watch import InProcess, Watcher


def test_a_watcher_says_what_happens_in_order_and_follows_the_store(tmp_path: Path) -> None:
    with Store(tmp_path / "rerail.db") as store:
        source = InProcess()
        watcher = Watcher(source, store, MONO)
        said: list[str] = []
        trace: Trace | None = None
        for event in running(TEXTS, source.watch):
            said += watcher.step(0.0)
            if isinstance(event, Finished):
                trace = event.trace
        assert trace is not None
        store.add(trace)
        said += watcher.step(0.0)
        bare = [each.removeprefix(f"trace {trace.id}: ") for each in said]
        assert bare[0] == "begins: How would one do PLACEHOLDER?"
        starts = [each.split(",")[0].split(":")[0] for each in bare]
        expected = ["begins", "step 1", "step 2", "CUE", "INJECTED safety trigger decline-1"]
        assert starts[:5] == expected
        assert bare[3] == "CUE, score 0.95, rolled back 3 tokens: Then the EVIL"
        assert "INTERVENED, ended by stop" in bare
        assert text_of(watcher.recorded).startswith(f"trace {trace.id}: recorded: intervene")
        store.add(replace(trace, id="0" * 20))
        (other,) = watcher.step(0.0)
        assert other.startswith("trace 00000000000000000000: recorded: intervene")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_terminal_is_clean_afterwards(tmp_path: Path, number: signal.Signals) -> None:
    code = "import sys; from rerail.serve.cli import main; sys.exit(main())"
    where = ["--store", str(tmp_path / "rerail.db"), "--theme", "mono"]
    terminal, inner = pty.openpty()
    child = subprocess.Popen(
        [sys.executable, "-c", code, "trace", "watch", *where],
        stdin=inner,
        stdout=inner,
        stderr=inner,
        env=os.environ | {"TERM": "xterm-256color", "COLUMNS": "80", "LINES": "24"},
    )
    os.close(inner)
    seen = b""
    sent = False
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        ready, _, _ = select.select([terminal], [], [], 0.2)
        if ready:
            try:
                data = os.read(terminal, 65536)
            except OSError:  # the child has closed its end
                break
            if not data:
                break
            seen += data
        if not sent and b"Ctrl-C ends watching" in seen:
            child.send_signal(number)
            sent = True
    os.close(terminal)
    assert child.wait(20) == 0 and sent
    assert seen.index(b"\x1b[?1049h") < seen.rindex(b"\x1b[?1049l")  # out of the other screen
    assert seen.rindex(b"\x1b[?25h") > seen.rindex(b"\x1b[?25l")  # and the cursor is back
    assert b"Traceback" not in seen
