"""The trace viewer: how soon a long trace opens, how fast it scrolls, what being watched costs.

CPU time of this process, so that other work on the machine does not count. What being watched
costs is a ratio of two measurements taken by turns, while another process really watches.
"""

import asyncio
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

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


def watched_ratio(store: Path, rounds: int = 8) -> tuple[float, float]:
    """Tokens a second while watched, over those while not: median of the rounds, and the worst."""
    detector = StudentDetector.from_folder()
    text = "".join(think + "\n" for _, think in TRACES[:3])
    watcher = subprocess.Popen(
        [sys.executable, "-c", CLI, "trace", "watch", "--theme", "spoken", "--store", str(store)],
        stdout=subprocess.DEVNULL,
    )
    ratios = []
    try:
        with LiveWriter(store) as writer:

            def rate(watch: Callable[[Session], None] | None) -> float:
                began = time.process_time()
                trace = generate(Guard(detector, watch=watch), text)
                return trace.sampled_tokens / (time.process_time() - began)

            rate(None)
            for number in range(rounds):
                # By turns, so that neither comes always first.
                first = rate(writer.watch if number % 2 else None)
                second = rate(None if number % 2 else writer.watch)
                ratios.append(first / second if number % 2 else second / first)
    finally:
        watcher.terminate()
        watcher.wait()
    return median(ratios), min(ratios)


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
        command = [sys.executable, "-c", CLI, "trace", "show", "--store", str(store.name)]
        before = os.times()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        after = os.times()
        whole = after.children_user - before.children_user
        whole += after.children_system - before.children_system
        middle, worst = watched_ratio(folder / "rerail.db")
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
                f"{middle:.3f} (median), {worst:.3f} (worst round)",
                COMMAND,
            ),
        ]
    )


if __name__ == "__main__":
    main()
