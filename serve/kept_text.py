"""The kept text of a trace by offsets, with the tokens' scores and channels."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from itertools import accumulate, groupby
from typing import NamedTuple

from ..guard import Channel, TokenTable


class Piece(NamedTuple):
    """A token's text, or the part of it that lies in a row, and the token's score."""

    text: str
    score: float | None


class KeptText:
    """The kept text by offsets. What lies between two of them is found by bisection and sliced."""

    def __init__(self, table: TokenTable) -> None:
        self._table = table
        self._ends = list(accumulate(map(len, table.texts)))
        self._text = table.text
        self.size = len(self._text)

    def offset(self, num_tokens: int) -> int:
        """Where the token after the first `num_tokens` begins."""
        if num_tokens <= 0 or not self._ends:
            return 0
        return self._ends[min(num_tokens, len(self._ends)) - 1]

    def pieces(self, start: int, end: int) -> tuple[Piece, ...]:
        """The tokens of `[start, end)`; the first and the last one may be cut."""
        first, last = self._tokens(start, end)
        if first == last:
            return ()
        texts = self._table.texts[first:last]
        # The last one before the first one: they may be the same, and a cut at the front moves it.
        texts[-1] = texts[-1][: end - self._start(last - 1)]
        texts[0] = texts[0][max(0, start - self._start(first)) :]
        return tuple(map(Piece, texts, self._table.scores[first:last]))

    def slice(self, start: int, end: int) -> str:
        """The text between two offsets, in characters."""
        return self._text[start:end]

    def channel_runs(self, start: int, end: int) -> Iterator[tuple[int, int, Channel | None]]:
        """`[start, end)` cut where the channel changes."""
        first, last = self._tokens(start, end)
        at = start
        for channel, run in groupby(self._table.channels[first:last]):
            first += len(list(run))
            stop = min(end, self._ends[first - 1])
            if stop > at:  # tokens without a text make no run
                yield at, stop, channel
                at = stop

    def _start(self, position: int) -> int:
        return self._ends[position - 1] if position else 0

    def _tokens(self, start: int, end: int) -> tuple[int, int]:
        """The first token that ends after `start`, and the first one that begins at `end` or later:
        the text between them are the tokens of `[start, end)`."""
        first = bisect_right(self._ends, start)
        # A token begins where the one before it ends.
        last = bisect_left(self._ends, end, lo=first) + 1 if end > self._start(first) else first
        return first, min(last, len(self._ends))
