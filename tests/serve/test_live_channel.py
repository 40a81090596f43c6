"""Frames on their way to other processes: nothing is left behind, nothing is disturbed."""

import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import live_running
import pytest
from live_running import TEXTS, running

from rerail.guard import Action, Finished, FinishReason, GuardConfig
from rerail.serve import live_channel
from rerail.serve.api_keys import ApiKeys
from rerail.serve.lines import text_of
from rerail.serve.live_channel import LiveWriter, sweep
from rerail.serve.live_reader import LiveReader
from rerail.serve.live_trace import LiveTrace
from rerail.serve.server_service import Parts, Service
from rerail.serve.server_settings import ServerSettings
from rerail.serve.themes import MONO
from rerail.serve.trace_writer import TraceWriter
from rerail.serve.watch import Watcher


def test_frames_survive_the_channel_and_text_goes_with_the_end(tmp_path: Path) -> None:
    store = tmp_path / "rerail.db"
    reader = LiveReader(store)
    assert reader.look().frames == ()  # nobody has written yet
    live = LiveTrace("x")
    with LiveWriter(store, interval_s=0.005, share=1.0) as writer:
        for event in running(TEXTS, writer.watch):
            if isinstance(event, Finished):
                break
            time.sleep(0.002)
            for frame in reader.look().frames:
                live.apply(frame)
        deadline = time.monotonic() + 60
        while live.finished is None and time.monotonic() < deadline:
            for frame in reader.look().frames:
                live.apply(frame)
        assert live.finished == (Action.INTERVENE, FinishReason.STOP)
        assert live.begin is not None and live.begin.request == "How would one do PLACEHOLDER?"
        assert live.interventions and "The user asks" in live.tokens.text
    reader.close()
    path = tmp_path / "rerail.db.live"
    assert path.stat().st_mode & 0o077 == 0
    with sqlite3.connect(path) as connection:
        bodies = [body for (body,) in connection.execute("select body from live_frames")]
    connection.close()
    assert len(bodies) == 1 and "EVIL" not in bodies[0] and "finished" in bodies[0]


def test_what_a_killed_process_left_behind_is_lost_and_swept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = (
        "import sys, time\n"
        "sys.path.insert(0, sys.argv[2])\n"
        "from live_running import TEXTS, running\n"
        "from rerail.serve.live_channel import LiveWriter\n"
        "writer = LiveWriter(sys.argv[1], interval_s=0.01)\n"
        "events = running(TEXTS, writer.watch)\n"
        "for _ in range(4): next(events)\n"
        "print('ready', flush=True)\ntime.sleep(60)\n"
    )
    store = tmp_path / "rerail.db"
    helpers = Path(live_running.__file__).parent
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(store), str(helpers)],
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == b"ready\n"
        reader = LiveReader(store)
        watcher = Watcher(reader, None, MONO)
        said: list[str] = []
        deadline = time.monotonic() + 20
        while not any("begins" in each for each in said) and time.monotonic() < deadline:
            said += watcher.step(time.monotonic())
        assert watcher.num_running == 1
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
    monkeypatch.setattr(live_channel, "STALE_S", 0.0)
    assert [each.split(": ")[1] for each in watcher.step(time.monotonic())] == [
        "lost, its process is gone"
    ]
    assert watcher.num_running == 0
    assert "LOST" in text_of(watcher.screen(100, 20, time.monotonic()).lines)
    reader.close()
    sweep(store)
    with sqlite3.connect(f"{store}.live") as connection:
        assert connection.execute("select count(*) from live_frames").fetchone() == (0,)
        assert connection.execute("select count(*) from live_writers").fetchone() == (0,)
    connection.close()


def test_a_writer_whose_disk_fails_never_disturbs_the_generation(tmp_path: Path) -> None:
    writer = LiveWriter(tmp_path / "rerail.db", interval_s=0.005, share=1.0)
    writer._write = lambda work: (_ for _ in ()).throw(live_channel.StoreError("full"))  # type: ignore
    events = list(running(TEXTS, writer.watch))
    time.sleep(0.05)
    writer.close()
    assert isinstance(events[-1], Finished)


def _never() -> Parts:
    raise AssertionError("nothing is served here")


def test_more_sessions_than_can_be_shown_are_counted(tmp_path: Path) -> None:
    with LiveWriter(tmp_path / "rerail.db", interval_s=60) as writer:
        for _ in range(260):
            next(running(TEXTS, writer.watch))
        traces = TraceWriter(None)
        server = Service(_never, GuardConfig(), ServerSettings(), ApiKeys(()), traces, live=writer)
        assert b"rerail_live_unwatched 4.0" in server.metrics.page()
        traces.close()
