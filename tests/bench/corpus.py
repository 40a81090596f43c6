"""Reasoning text for the benchmarks: harmless traces of the corpus, cut into token-like pieces.

Harmless, because that is what a guard reads nearly all the time; `distill/corpus` is in the
repository and not in the package.
"""

import json
import re
from pathlib import Path

from rerail.guard import Token

CORPUS = Path(__file__).parents[2] / "distill" / "corpus"
NUM_STREAMS = 64
_PIECE = re.compile(r"\s?\w{1,6}|\s|[^\w\s]")


def _harmless() -> list[tuple[str, str]]:
    """64 requests, each with the reasoning of several harmless traces in English in a row."""
    rows = [
        json.loads(line)
        for path in sorted(CORPUS.glob("traces_*.jsonl"))
        for line in path.read_text(encoding="utf-8").splitlines()
    ]
    plain = [row for row in rows if not row["harmful"] and row["language"] == "en"]
    groups = [plain[start::NUM_STREAMS] for start in range(NUM_STREAMS)]
    return [(group[0]["request"], "\n\n".join(row["think"] for row in group)) for group in groups]


TRACES = _harmless()


def tokens_of(text: str) -> list[Token]:
    """About the pieces that a model's tokenizer makes: a blank and up to six letters."""
    return [Token(None, piece) for piece in _PIECE.findall(text)]
