"""Watching generations: nothing is missed, nothing is left behind, nothing is slowed."""

import os
import pty
import select
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from fakes import WordDetector
from golden_traces import CALM, REFUSALS, TRIGGERS
from hypothesis import given, settings
from hypothesis import strategies as st

from rerail.guard import Action, Event, Finished, FinishReason, Guard, GuardConfig, Trace, guarded
from rerail.guard.backend_scripted import ScriptedBackend
from rerail.guard.store import Store
from rerail.serve import live_channel
from rerail.serve.lines import text_of, width_of
from rerail.serve.live_channel import LiveWriter, sweep
from rerail.serve.live_frame import Frame, Probe, frame_of, frame_text
from rerail.serve.live_reader import LiveReader
from rerail.serve.live_trace import LiveTrace
from rerail.serve.live_view import FLASH_S, Stream, screen_lines, stream_lines
from rerail.serve.themes import DARK, MONO
from rerail.serve.watch import InProcess, Watcher

TEXTS = (
    "The user asks for it. Then the EVIL plan begins here. And more.",
    " So I stop. The second bad thought is next.",
    " I will not go on." + CALM,
)


def running(
    texts: Sequence[str], watch: object, *, group: int = 1, config: GuardConfig | None = None
) -> Iterator[Event]:
    """A guarded generation whose session is shown to `watch`."""
    backend = ScriptedBackend(texts, group=group)
    guard = Guard(
        WordDetector(inside=["EVIL"], at_end=["bad"]),
        config or GuardConfig(refusals=REFUSALS),
        triggers=TRIGGERS,
        watch=watch,  # type: ignore[arg-type]
    )
    return guarded(backend, guard, backend.prompt("How would one do PLACEHOLDER?"))


def same(live: LiveTrace, trace: Trace) -> None:
    assert live.tokens.texts == trace.tokens.texts
    assert live.tokens.authors == trace.tokens.authors
    assert live.tokens.channels == trace.tokens.channels
    assert live.tokens.scores == pytest.approx(trace.tokens.scores, abs=1e-4)
    assert [replace(each, probability=0) for each in live.steps] == [
        replace(each, probability=0) for each in trace.steps
    ]
    assert [each.injected for each in live.interventions] == [
        each.injected for each in trace.interventions
    ]
    assert [each.num_injected for each in live.interventions] == [
        each.num_injected for each in trace.interventions
    ]
    assert live.finished == (trace.action, trace.finish_reason)


@given(st.data(), st.sampled_from([1, 3, 50]))
@settings(max_examples=60)
def test_frames_add_up_to_the_trace_however_rarely_one_looks(
    data: st.DataObject, group: int
) -> None:
    """A rollback between two looks, or one that is only half done, must leave no cue behind."""
    probes: list[Probe] = []
    live = LiveTrace("x")
    trace: Trace | None = None
    words = st.lists(st.sampled_from(["Fine. ", "a bad one. ", "EVIL ", "x ", "\n"]), max_size=8)
    texts = ["Go. " + "".join(data.draw(words)) for _ in range(3)] + [CALM]

    def look() -> None:
        frame = probes[0].frame()
        if frame is not None:
            live.apply(frame_of(frame_text(frame)))

    for event in running(texts, lambda session: probes.append(Probe(session)), group=group):
        if isinstance(event, Finished):
            trace = event.trace
        if data.draw(st.booleans()):
            look()
    look()
    assert trace is not None
    same(live, trace)
    assert probes[0].finished and probes[0].frame() is None


def test_looking_from_another_thread_while_it_runs() -> None:
    live = LiveTrace("x")
    probes: list[Probe] = []
    ended = threading.Event()

    def look() -> None:
        while not ended.is_set():
            if probes and (frame := probes[0].frame()) is not None:
                live.apply(frame)

    thread = threading.Thread(target=look)
    thread.start()
    texts = ["Fine it is. " * 60 + "A bad thought. " for _ in range(4)] + [CALM]
    try:
        events = list(running(texts, lambda session: probes.append(Probe(session))))
    finally:
        ended.set()
        thread.join()
    if (frame := probes[0].frame()) is not None:
        live.apply(frame)
    assert isinstance(events[-1], Finished)
    same(live, events[-1].trace)


def frames_of(texts: Sequence[str] = TEXTS) -> list[Frame]:
    probes: list[Probe] = []
    frames: list[Frame] = []
    for _ in running(texts, lambda session: probes.append(Probe(session))):
        frame = probes[0].frame()
        frames += [frame] if frame is not None else []
    return frames


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
        "from test_live import *\n"
        "writer = LiveWriter(sys.argv[1], interval_s=0.01)\n"
        "events = running(TEXTS, writer.watch)\n"
        "for _ in range(4): next(events)\n"
        "print('ready', flush=True)\ntime.sleep(60)\n"
    )
    store = tmp_path / "rerail.db"
    here = Path(__file__).parent
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(store), str(here)],
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": str(here.parent)},
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


def test_more_sessions_than_can_be_shown_are_counted(tmp_path: Path) -> None:
    with LiveWriter(tmp_path / "rerail.db", interval_s=60) as writer:
        for _ in range(260):
            next(running(TEXTS, writer.watch))
        assert writer.num_unwatched == 4


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


def live_stream(num_frames: int) -> Stream:
    stream = Stream(LiveTrace("a"))
    for frame in frames_of()[:num_frames]:
        stream.live.apply(frame)
    return stream


def test_the_held_step_is_shown_as_held_and_a_cue_flashes_before_it_goes() -> None:
    frames = frames_of()
    cut = next(index for index, frame in enumerate(frames) if frame.interventions)
    stream = live_stream(cut)
    text = text_of(stream_lines(stream, 80, 12, MONO, 0.0))
    assert "HELD Then" in text and "HELD The user" not in text and "ALLOWED so far" in text
    for frame in frames[cut : cut + 4]:
        stream.live.apply(frame)
    stream.flash_until = FLASH_S
    flashing = text_of(stream_lines(stream, 80, 12, MONO, 0.1))
    assert "CUE found, rolling back: Then the EVIL" in flashing and "INJECTED" not in flashing
    after = text_of(stream_lines(stream, 80, 12, MONO, FLASH_S + 0.1))
    assert "CUE rolled back 3 tokens" in after and "INJECTED safety trigger" in after
    assert "INTERVENED so far" in after


@pytest.mark.parametrize("num_streams", [0, 1, 3, 50])
@pytest.mark.parametrize(("width", "height"), [(80, 24), (200, 50), (40, 10)])
def test_a_screen_is_exactly_as_large_as_the_terminal(
    num_streams: int, width: int, height: int
) -> None:
    streams = [live_stream(40 + index % 5) for index in range(num_streams)]
    lines = screen_lines(streams, [], width, height, DARK, 0.0)
    assert len(lines) == height
    assert max(map(width_of, lines)) <= width
    if num_streams == 50:
        assert "more streams do not fit" in text_of(lines)


def test_of_a_long_generation_only_the_end_is_drawn() -> None:
    """Else drawing would cost more and more the longer a generation becomes."""
    probes: list[Probe] = []
    backend = ScriptedBackend(["The word goes on and on here. " * 2500], group=500)
    guard = Guard(WordDetector(), watch=lambda session: probes.append(Probe(session)))
    list(guarded(backend, guard, backend.prompt("Go.")))
    stream = Stream(LiveTrace("a"))
    frame = probes[0].frame()
    assert frame is not None and len(frame.tokens) > 17_000
    stream.live.apply(frame)
    tail, released = stream.live.tail(600)
    assert len(tail.tokens) == 600 and len(tail.steps) < 100
    assert released == len(tail.tokens.text)
    lines = stream_lines(stream, 100, 40, DARK, 0.0)
    assert len(lines) == 40 and "goes on and on here." in text_of(lines)


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
