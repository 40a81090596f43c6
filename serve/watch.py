"""Watching: follows running generations and newly recorded traces, on a screen or line by line."""

import signal
import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.live import Live

from ..guard import Intervention, Session
from ..guard.store import Store
from ..guard.store_errors import NotInStore
from ..guard.store_query import TraceSummary
from .lines import Line, Lines, one_line
from .live_channel import sweep
from .live_frame import Probe
from .live_reader import LiveReader, Look
from .live_trace import LiveTrace
from .live_view import FLASH_S, Stream, screen_lines
from .themes import SPOKEN, Theme
from .visible import visible
from .wording import action_words, count, score_text

_STAY_S = 20.0
"""How long an ended stream stays on the screen when nothing takes its place."""


class Source(Protocol):
    """Where frames come from: another process, or this one."""

    def look(self) -> Look:
        """What is new since the last look."""
        ...


class InProcess:
    """The sessions of this process; `watch` is what a `Guard` takes."""

    def __init__(self) -> None:
        self._probes: list[Probe] = []

    def watch(self, session: Session) -> None:
        """Takes a session that has just been opened."""
        self._probes.append(Probe(session))

    def look(self) -> Look:
        frames = [frame for probe in self._probes if (frame := probe.frame()) is not None]
        self._probes = [probe for probe in self._probes if not probe.finished]
        return Look(frames, frozenset(frame.stream for frame in frames))


class Watcher:
    """What has been seen so far; `step` looks again and gives what to say about it."""

    def __init__(self, source: Source, store: Store | None, theme: Theme) -> None:
        self._source = source
        self._store = store
        self._theme = theme
        self._cursor = store.newest() if store is not None else None
        self._streams: dict[str, Stream] = {}
        self._said: dict[str, int] = {}
        self.recorded: list[Line] = []

    def step(self, now: float, width: int = 100) -> list[str]:
        """Takes in what is new; gives it as sentences too, for those who read lines."""
        said: list[str] = []
        look = self._source.look()
        for frame in look.frames:
            known = frame.stream in self._streams
            if not known:
                self._streams[frame.stream] = Stream(LiveTrace(frame.stream))
            stream = self._streams[frame.stream]
            fresh = stream.live.apply(frame)
            if not known and frame.begin is not None:
                said.append(f"{_name(frame.stream)}: begins: {_line(frame.begin.request)}")
            said += self._news(stream, fresh)
            if fresh:
                stream.flash_until = now + FLASH_S
            if stream.live.finished is not None and stream.ended_at is None:
                stream.ended_at = now
        for name, stream in self._streams.items():
            if not stream.is_over and isinstance(self._source, LiveReader):
                stream.live.lost = name not in look.alive
                if stream.live.lost:
                    stream.ended_at = now
                    said.append(f"{_name(name)}: lost, its process is gone")
        said += self._follow_store(now, width)
        self._forget(now)
        return said

    def screen(self, width: int, height: int, now: float) -> Lines:
        """The screen as it is now: running streams first, then those that ended last."""
        streams = sorted(self._streams.values(), key=_end, reverse=True)
        lines = screen_lines(streams, self.recorded, width, height, self._theme, now)
        return Lines(lines)

    @property
    def num_running(self) -> int:
        """Streams that have not ended."""
        return sum(not stream.is_over for stream in self._streams.values())

    def _news(self, stream: Stream, fresh: Sequence[Intervention]) -> Iterator[str]:
        name = _name(stream.live.stream)
        first = self._said.get(stream.live.stream, 0)
        for step in stream.live.steps[first:]:
            score = score_text(step.probability)
            yield f"{name}: step {step.index + 1}, score {score}: {_line(step.text)}"
        self._said[stream.live.stream] = len(stream.live.steps)
        for each in fresh:
            yield (
                f"{name}: CUE, score {score_text(each.probability)}, "
                f"rolled back {count(len(each.rolled_back), 'token')}: {_line(each.cue)}"
            )
            what = f"safety trigger {each.trigger_id}" if each.trigger_id else "refusal"
            yield f"{name}: INJECTED {what}: {_line(each.injected)}"
        if stream.live.finished is not None:
            action, reason = stream.live.finished
            yield f"{name}: {action_words(action)}, ended by {reason.value}"

    def _follow_store(self, now: float, width: int) -> Iterator[str]:
        if self._store is None or self._cursor is None:
            return
        found, self._cursor = self._store.newer(self._cursor)
        for summary in found:
            words = _recorded_words(summary)
            self.recorded.append(one_line([(words, self._theme.quiet)], width))
            if summary.id not in self._streams:
                yield words
        for name, stream in self._streams.items():
            if any(summary.id == name for summary in found):
                self._complete(stream, now)

    def _complete(self, stream: Stream, now: float) -> None:
        """The last frame holds no text: what was missed until then is in the store."""
        assert self._store is not None
        try:
            trace = self._store.get(stream.live.stream)
        except NotInStore:
            return
        if any(trace.tokens.texts) and stream.live.complete(trace):
            stream.flash_until = now + FLASH_S

    def _forget(self, now: float) -> None:
        over = [name for name, each in self._streams.items() if now - _end(each) > _STAY_S]
        for name in over:
            del self._streams[name]


def watch(
    store_name: str, store: Store, console: Console, theme: Theme, *, interval_s: float = 0.15
) -> None:
    """Follows the store until it is interrupted: on the whole screen of a terminal, in a pipe and
    for screen readers line by line."""
    sweep(store_name)
    reader = LiveReader(store_name)
    watcher = Watcher(reader, store, theme)
    try:
        with _ended_by_signals():
            if theme is SPOKEN or not console.is_terminal:
                while True:
                    for sentence in watcher.step(time.monotonic()):
                        console.out(sentence, highlight=False)
                    console.file.flush()
                    time.sleep(interval_s)
            with Live(console=console, screen=True, auto_refresh=False) as live:
                while True:
                    _draw(watcher, live)
                    time.sleep(interval_s)
    except KeyboardInterrupt:
        return  # that is how watching ends
    finally:
        reader.close()


@contextmanager
def live_run(console: Console, theme: Theme) -> Generator[Callable[[Session], None]]:
    """Shows the generations of this process while the block runs; gives the `watch` for its guard.

    Drawn from a thread of its own. The screen is as it was when the block ends, however it ends.
    """
    source = InProcess()
    watcher = Watcher(source, None, theme)
    ended = threading.Event()

    def draw(live: Live) -> None:
        while not ended.wait(0.1):
            _draw(watcher, live)

    with _ended_by_signals(), Live(console=console, screen=True, auto_refresh=False) as live:
        thread = threading.Thread(target=draw, args=(live,), name="rerail-live-view", daemon=True)
        thread.start()
        try:
            yield source.watch
        finally:
            ended.set()
            thread.join()
            _draw(watcher, live)


def _draw(watcher: Watcher, live: Live) -> None:
    now = time.monotonic()
    width, height = live.console.size
    watcher.step(now, width)
    live.update(watcher.screen(width, height, now), refresh=True)


@contextmanager
def _ended_by_signals() -> Generator[None]:
    """SIGTERM and SIGHUP unwind as Ctrl-C does, so that the terminal is given back clean."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    names = [name for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    before = {name: signal.signal(getattr(signal, name), interrupt) for name in names}
    try:
        yield
    finally:
        for name, handler in before.items():
            signal.signal(getattr(signal, name), handler)


def _recorded_words(summary: TraceSummary) -> str:
    return (
        f"{_name(summary.id)}: recorded: {summary.action.value}, highest score "
        f"{score_text(summary.max_score)}, {count(summary.num_interventions, 'intervention')}, "
        f"{count(summary.num_tokens, 'token')}: {_line(summary.request)}"
    )


def _name(stream: str) -> str:
    return f"trace {stream}"


def _line(text: str) -> str:
    return visible(" ".join(text.split()))


def _end(stream: Stream) -> float:
    return float("inf") if stream.ended_at is None else stream.ended_at
