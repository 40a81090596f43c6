"""Frames of a running generation: however one looks, nothing is missed."""

import threading
from dataclasses import replace

import pytest
from golden_traces import CALM
from hypothesis import given, settings
from hypothesis import strategies as st
from live_running import running

from rerail.guard import Finished, Trace
from rerail.serve.live_frame import Probe, frame_of, frame_text
from rerail.serve.live_trace import LiveTrace


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
