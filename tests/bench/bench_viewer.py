"""The trace viewer: how soon a long trace opens, how fast it scrolls, what being watched costs.

CPU time of this process, so that other work on the machine does not count. What being watched
costs is a ratio of two measurements taken by turns, while another process really watches.
"""

# pyright: reportPrivateUsage=false

import asyncio
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import quantiles

from corpus import TRACES
from figures import Figure, report

from rerail.guard import Finished, Guard, Session, Trace, guarded
from rerail.guard.backend_scripted import ScriptedBackend
from rerail.guard.detector_student import StudentDetector
from rerail.guard.store import Store
from rerail.serve.browse import Browser
from rerail.serve.label_book import LabelBook
from rerail.serve.live_channel import LiveWriter
from rerail.serve.themes import DARK
from rerail.serve.trace_render import render

COMMAND = "python tests/bench/bench_viewer.py"
CLI = "import sys; from rerail.serve.cli import main; sys.exit(main())"
NUM_TOKENS = 20_000


def generate(guard: Guard, text: str, *, group: int = 1) -> Trace:
    backend = ScriptedBackend([text], group=group)
    *_, last = guarded(backend, guard, backend.prompt("Go."))
    assert isinstance(last, Finished)
    return last.trace


def long_trace() -> Trace:
    """Steps of the corpus, without a guard's interventions, until there are tokens enough."""
    text = ""
    while len(text) < NUM_TOKENS * 7:
        text += "".join(think + "\n" for _, think in TRACES)
    backend = ScriptedBackend([text], group=64)
    guard = Guard(None)
    *_, last = guarded(backend, guard, backend.prompt("Go."), {"max_new_tokens": NUM_TOKENS})
    assert isinstance(last, Finished) and len(last.trace.tokens) == NUM_TOKENS
    return last.trace


def cpu_s(work: Callable[[], object]) -> float:
    """The best of three."""
    times = []
    for _ in range(3):
        began = time.process_time()
        work()
        times.append(time.process_time() - began)
    return min(times)


def opened_and_scrolled(store: Store, trace: Trace, folder: Path) -> tuple[float, float]:
    """Seconds to open it in the browser, and seconds a screen of 120 by 40 takes to draw."""
    app = Browser(store, store.summaries(), LabelBook(folder / "labels.jsonl"))

    async def run() -> tuple[float, float]:
        async with app.run_test(size=(120, 40)) as pilot:
            await pilot.pause()
            opened = cpu_s(lambda: app._open(0))
            height = app.steps.scrollable_content_region.height
            began = time.process_time()
            for top in range(0, 2000, 20):
                app.steps.scroll_to(y=top, animate=False)
                for y in range(height):
                    app.steps.render_line(y)
            return opened, (time.process_time() - began) / 100

    return asyncio.run(run())


def command_s(store: str) -> float:
    """CPU seconds that `rerail trace show` of the newest trace takes from start to end."""
    command = [sys.executable, "-c", CLI, "trace", "show", "--store", store]
    before = os.times()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    after = os.times()
    user = after.children_user - before.children_user
    return user + after.children_system - before.children_system


def watched_ratio(store: Path, rounds: int = 40) -> tuple[float, list[float]]:
    """Tokens a second while watched, over those while not: of all rounds together, and the
    quartiles of single rounds, which tell how much else goes on on the machine."""
    detector = StudentDetector.from_folder()
    text = "".join(think + "\n" for _, think in TRACES[:3])
    watcher = subprocess.Popen(
        [sys.executable, "-c", CLI, "trace", "watch", "--theme", "spoken", "--store", str(store)],
        stdout=subprocess.DEVNULL,
    )
    if hasattr(os, "sched_setaffinity"):  # an onlooker's drawing is no part of the cost
        os.sched_setaffinity(watcher.pid, range(os.cpu_count() or 1))
    pairs: list[tuple[float, float]] = []
    try:
        with LiveWriter(store) as writer:

            def taken_s(watch: Callable[[Session], None] | None) -> float:
                began = time.process_time()
                generate(Guard(detector, watch=watch), text)
                return time.process_time() - began

            taken_s(None)
            for number in range(rounds):
                # By turns, so that neither comes always first.
                first = taken_s(writer.watch if number % 2 else None)
                second = taken_s(None if number % 2 else writer.watch)
                pairs.append((second, first) if number % 2 else (first, second))
    finally:
        watcher.terminate()
        watcher.wait()
    alone, watched = zip(*pairs, strict=True)
    return sum(alone) / sum(watched), quantiles((one / two for one, two in pairs), n=4)


def main() -> None:
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    trace = long_trace()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with Store(folder / "rerail.db") as store:
            store.add(trace)
            drawn = cpu_s(lambda: render(store.get(trace.id), 100, DARK))
            opened, screen = opened_and_scrolled(store, trace, folder)
        whole = min(command_s(store.name) for _ in range(5))
        ratio, quarters = watched_ratio(folder / "rerail.db")
    report(
        [
            Figure(
                "trace of 20,000 tokens read from the store and drawn",
                "within 1 s",
                f"{drawn:.2f} s",
                COMMAND,
            ),
            Figure(
                "`rerail trace show` of it, the whole command",
                "within 1 s",
                f"{whole:.2f} s",
                COMMAND,
            ),
            Figure(
                "the same trace opened in `rerail trace browse`",
                "within 1 s",
                f"{opened:.2f} s",
                COMMAND,
            ),
            Figure(
                "a screen of it drawn while scrolling", "smooth", f"{1000 * screen:.1f} ms", COMMAND
            ),
            Figure(
                "guarded tokens/s while watched, over those while not",
                "never slows generation",
                f"{ratio:.3f} (rounds' quartiles {quarters[0]:.2f} and {quarters[2]:.2f})",
                COMMAND,
            ),
        ]
    )


if __name__ == "__main__":
    main()
