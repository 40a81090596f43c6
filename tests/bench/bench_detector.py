"""The shipped detector alone: time a token at batch 1 and 64, time of the second stage.

One token of sandbox reasoning a stream and call, on one core, in CPU time of this process.
"""

import os
import time

from corpus import TRACES, tokens_of
from figures import Figure, report

from rerail.guard import Channel
from rerail.guard.detector_student import StudentDetector

COMMAND = "python tests/bench/bench_detector.py"


def time_a_token(detector: StudentDetector, batch: int, num_steps: int) -> float:
    """Microseconds of CPU time a token; ends of steps are not in it."""
    chosen = [TRACES[number % len(TRACES)] for number in range(batch)]
    states = [detector.start([{"role": "user", "content": request}]) for request, _ in chosen]
    streams = [[token.text for token in tokens_of(think)][:num_steps] for _, think in chosen]
    channels = [Channel.REASONING] * batch
    started = time.process_time()
    for position in range(num_steps):
        texts = [stream[position % len(stream)] for stream in streams]
        states, _ = detector.score(states, texts, channels)
    return 1e6 * (time.process_time() - started) / (num_steps * batch)


def time_a_step(detector: StudentDetector) -> float:
    """Milliseconds for the end of a step that the second stage reads."""
    request, think = TRACES[0]
    sentence = think[:200]
    state = detector.start([{"role": "user", "content": request}])
    before = detector.use.num_verified
    spent = 0.0
    for _ in range(400):
        states, _ = detector.score([state], [sentence], [Channel.REASONING])
        started, verified = time.process_time(), detector.use.num_verified
        detector.end_step(states, [sentence])
        if detector.use.num_verified > verified:
            spent += time.process_time() - started
    num_verified = detector.use.num_verified - before
    return 1e3 * spent / num_verified if num_verified else float("nan")


def main() -> None:
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    detector = StudentDetector.from_folder()
    time_a_token(detector, 64, 50)
    rows = [
        Figure(
            f"detector, one core, batch {batch}",
            f"at most {asked} µs a token",
            f"{time_a_token(detector, batch, num_steps):.1f} µs a token",
            COMMAND,
        )
        for batch, asked, num_steps in ((1, 30, 3000), (64, 5, 400))
    ]
    rows.append(
        Figure(
            "detector, second stage, one core",
            "at most 15 ms a step",
            f"{time_a_step(detector):.1f} ms a step",
            COMMAND,
        )
    )
    report(rows)


if __name__ == "__main__":
    main()
