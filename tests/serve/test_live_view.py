"""The screen that shows running generations."""

import pytest
from fakes import WordDetector
from live_running import frames_of

from rerail.guard import Guard, guarded
from rerail.guard.backend_scripted import ScriptedBackend
from rerail.serve.lines import text_of, width_of
from rerail.serve.live_frame import Probe
from rerail.serve.live_trace import LiveTrace
from rerail.serve.live_view import FLASH_S, Stream, screen_lines, stream_lines
from rerail.serve.themes import DARK, MONO


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
