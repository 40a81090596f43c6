"""Microseconds that the segmenter takes a token: `python -m tests.bench.segmenter_speed`.

On one core of a busy two-core x86 machine, Python 3.11: 0.9 for a word inside a step, 2.4 on
average over the text below, which is richer in stops and line breaks than most.
"""

import re
import sys
import time

from rerail.guard.reasoning_format import FORMATS
from rerail.guard.segmenter import Segmenter

WORD_IN_A_STEP = [" word"] * 60
PROSE = re.findall(
    r"\s?\w+|\S|\s+",
    "Okay, so the user wants 3 kg of flour, e.g. from the U.S. market, by 5 p.m. on Monday. Is"
    " that a lot? I should check what a bakery of that size uses, and how long it would keep.\n\n"
    "First, the simple part: flour is sold in bags of 1.5 kg. So two bags are enough. Wait, maybe"
    " they meant wholemeal; in that case the bags are smaller and the answer changes a bit.\n",
)


def microseconds_a_token(tokens: list[str], num_repeats: int = 2000) -> float:
    """The best of five runs, in processor time; a fresh segmenter for every repeat."""
    best = float("inf")
    for _ in range(5):
        begin = time.process_time()
        for _ in range(num_repeats):
            segmenter = Segmenter(FORMATS["r1"], reasoning_open=True)
            segmenter.read("We")
            for token in tokens:
                segmenter.read(token)
        best = min(best, time.process_time() - begin)
    return best / num_repeats / len(tokens) * 1e6


if __name__ == "__main__":
    sys.stdout.write(f"word inside a step: {microseconds_a_token(WORD_IN_A_STEP):.2f} µs\n")
    sys.stdout.write(f"prose: {microseconds_a_token(PROSE):.2f} µs\n")
