"""Guard capacity: tokens a second through segmenter, detector and decision, without a model.

The scripted backend's tokens are fed to 1, 64 and 256 sessions that share the shipped student; the
process keeps to one core, and its own CPU time counts, so that other work on the machine does not.
Opening a session, which reads the request once, is a figure of its own; what the second stage reads
of suspicious steps counts with the tokens. The numbers of streams take turns, for several rounds,
since a shared machine's core is unevenly quick. Nothing is set in the environment: that the
detector's products keep to one thread is the detector's own doing.
"""

import os
import statistics
import time

from corpus import TRACES, tokens_of
from figures import Figure, report

from rerail.guard import FORMATS, Guard, Prompt
from rerail.guard.detector_student import StudentDetector
from rerail.guard.judge import judge

COMMAND = "python tests/bench/bench_capacity.py"
NUM_TOKENS = 500
NUM_ROUNDS = 5


def capacity(guard: Guard, num_streams: int) -> tuple[float, float]:
    """Tokens a second of CPU time, all streams together, and milliseconds to open one."""
    texts = [TRACES[number % len(TRACES)] for number in range(num_streams)]
    streams = [tokens_of(think)[:NUM_TOKENS] for _, think in texts]
    sessions = []
    started = time.process_time()
    for request, _ in texts:
        message = {"role": "user", "content": request}
        prompt = Prompt(messages=(message,), text=request + "<think>")
        sessions.append(guard.open(prompt, FORMATS["r1"]))
    opened = 1e3 * (time.process_time() - started) / num_streams
    started = time.process_time()
    num_tokens = 0
    for position in range(NUM_TOKENS):
        for session, tokens in zip(sessions, streams, strict=True):
            if position < len(tokens):
                session.feed(tokens[position : position + 1])
                num_tokens += 1
        judge(guard.detector, sessions)
        for session in sessions:
            session.take_events()
    return num_tokens / (time.process_time() - started), opened


def main() -> None:
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    guard = Guard(StudentDetector.from_folder())
    capacity(guard, 4)
    fresh = Guard(StudentDetector.from_folder())
    opened = capacity(fresh, len(TRACES))[1]
    asked = {1: "-", 64: "at least 30,000 tokens/s", 256: "at least 40,000 tokens/s"}
    rates: dict[int, list[float]] = {num_streams: [] for num_streams in asked}
    for _ in range(NUM_ROUNDS):
        for num_streams, found in rates.items():
            found.append(capacity(guard, num_streams)[0])
    rows = []
    for num_streams, what in asked.items():
        found = rates[num_streams]
        name = f"guard capacity on one core, {num_streams} streams"
        middle = f"{statistics.median(found):,.0f} tokens/s"
        value = f"{middle} ({min(found):,.0f} to {max(found):,.0f} in {NUM_ROUNDS} rounds)"
        rows.append(Figure(name, what, value, COMMAND))
    rows.append(Figure("opening a stream: its request read", "-", f"{opened:.1f} ms", COMMAND))
    report(rows)


if __name__ == "__main__":
    main()
