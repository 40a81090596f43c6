"""Reasoning text for the benchmarks: traces of the sandbox world, cut into token-like pieces."""

import re

from rerail.guard import Token
from rerail.train.sandbox.world import generate_traces

_PIECE = re.compile(r"\s?\w{1,6}|\s|[^\w\s]")


def _joined() -> list[tuple[str, str]]:
    """64 requests with 500 tokens of reasoning each: several traces of one kind in a row."""
    traces = list(generate_traces("test", 640, seed=5))
    rows = []
    for start in range(0, 640, 10):
        group = traces[start : start + 10]
        rows.append((group[0].prompt.request, "\n\n".join(trace.think for trace in group)))
    return rows


TRACES = _joined()


def tokens_of(text: str) -> list[Token]:
    """About the pieces that a model's tokenizer makes: a blank and up to six letters."""
    return [Token(None, piece) for piece in _PIECE.findall(text)]
