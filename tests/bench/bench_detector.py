"""The shipped detector alone: time a token at batch 1 and 64, time of the second stage.

One token of harmless reasoning a stream and call, on one core, in CPU time of this process. All
words have been met before, as nearly all have been after a server's first minutes; what a new word
costs once is a figure of its own.
"""

import os
import time
from collections.abc import Sequence

from corpus import TRACES, tokens_of
from figures import Figure, report

from rerail.distill.answers import thought_steps
from rerail.guard import Channel
from rerail.guard.detector_student import StudentDetector
from rerail.guard.word_units import split_units
from rerail.train.sandbox.kinds import Kind
from rerail.train.sandbox.world import prompts

COMMAND = "python tests/bench/bench_detector.py"
NUM_TOKENS = 400


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


def best_time(detector: StudentDetector, batch: int, num_steps: int) -> float:
    """The best of five: what else runs on the machine slows this down, too."""
    return min(time_a_token(detector, batch, num_steps) for _ in range(5))


def time_a_step(detector: StudentDetector, steps: Sequence[str]) -> float:
    """Milliseconds for the end of a step that the second stage reads, over these in a row.

    Every step is read with the one before it, as in a generation; only its end is timed.
    """
    asked = next(iter(prompts("test", Kind.HARMFUL, num=1, seed=0)))
    states = [detector.start(list(asked.messages))]
    before = detector.use.num_verified
    spent = 0.0
    for step in steps:
        states, _ = detector.score(states, [step], [Channel.REASONING])
        started, verified = time.process_time(), detector.use.num_verified
        states, _ = detector.end_step(states, [step])
        if detector.use.num_verified > verified:
            spent += time.process_time() - started
    num_verified = detector.use.num_verified - before
    return 1e3 * spent / num_verified if num_verified else float("nan")


def best_step_time(detector: StudentDetector, steps: Sequence[str]) -> float:
    """The best of five, as for tokens."""
    return min(time_a_step(detector, steps) for _ in range(5))


def main() -> None:
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    detector = StudentDetector.from_folder()
    first = time_a_token(detector, 64, NUM_TOKENS)
    rows = [
        Figure(
            f"detector, one core, batch {batch}",
            f"at most {asked} µs a token",
            f"{best_time(detector, batch, num_steps):.1f} µs a token",
            COMMAND,
        )
        for batch, asked, num_steps in ((1, 30, 3000), (64, 5, NUM_TOKENS))
    ]
    again = best_time(detector, 64, NUM_TOKENS)
    texts = ("".join(token.text for token in tokens_of(think)[:NUM_TOKENS]) for _, think in TRACES)
    words = {unit for text in texts for unit in split_units(text)[0]}
    new_word = f"{(first - again) * 64 * NUM_TOKENS / len(words):.0f} µs"
    rows.append(Figure("detector, a word met for the first time", "-", new_word, COMMAND))
    steps = [step for _, think in TRACES for step in thought_steps(think)[:2]]
    longest = [TRACES[0][1][:800]] * 60
    rows.append(
        Figure(
            "detector, second stage, one core",
            "at most 15 ms a step",
            f"{best_step_time(detector, steps):.1f} ms a step of reasoning as it comes (mean), "
            f"{best_step_time(detector, longest):.1f} ms where request, step before and step fill "
            "all that is read",
            COMMAND,
        )
    )
    report(rows)


if __name__ == "__main__":
    main()
