"""The kept text of a trace by offsets, with the tokens' scores and channels."""

from collections.abc import Iterator
from itertools import accumulate
from typing import NamedTuple

from ..guard import Channel, TokenTable


class Piece(NamedTuple):
    """A token's text, or the part of it that lies in a row, and the token's score."""

    text: str
    score: float | None


class KeptText:
    """The kept text by offsets; to be read from front to back, which makes it linear."""

    def __init__(self, table: TokenTable) -> None:
        self._table = table
        self._ends = list(accumulate(map(len, table.texts)))
        self._at = 0
        self.size = self._ends[-1] if self._ends else 0

    def offset(self, num_tokens: int) -> int:
        """Where the token after the first `num_tokens` begins."""
        if num_tokens <= 0 or not self._ends:
            return 0
        return self._ends[min(num_tokens, len(self._ends)) - 1]

    def pieces(self, start: int, end: int) -> tuple[Piece, ...]:
        return tuple(
            Piece(text, self._table.scores[position]) for position, text in self._tokens(start, end)
        )

    def slice(self, start: int, end: int) -> str:
        return "".join(text for _, text in self._tokens(start, end))

    def channel_runs(self, start: int, end: int) -> Iterator[tuple[int, int, Channel | None]]:
        """`[start, end)` cut where the channel changes."""
        first = at = start
        current: Channel | None = None
        for position, text in self._tokens(start, end):
            channel = self._table.channels[position]
            if channel is not current and at > first:
                yield first, at, current
                first = at
            current = channel
            at += len(text)
        if at > first:
            yield first, at, current

    def _tokens(self, start: int, end: int) -> list[tuple[int, str]]:
        ends, texts = self._ends, self._table.texts
        position = self._at
        while position and ends[position - 1] > start:
            position -= 1
        while position < len(ends) and ends[position] <= start:
            position += 1
        self._at = position
        found: list[tuple[int, str]] = []
        while position < len(ends):
            token_start = ends[position] - len(texts[position])
            if token_start >= end:
                break
            found.append(
                (position, texts[position][max(0, start - token_start) : end - token_start])
            )
            position += 1
        return found
