"""The branch that is kept: its tokens, where their text ends, and where it can be cut."""

from bisect import bisect_right

from .steps import Piece
from .tokens import Author, Token, TokenTable


class Branch:
    """Tokens after the prompt. Text offsets count characters from the first generated one."""

    def __init__(self) -> None:
        self.tokens = TokenTable()
        self._ends: list[int] = []
        self._unclean: set[int] = set()  # tokens that end inside a character
        self._floor = 0
        self._unsettled = 0  # first token whose text has not been settled whole

    def __len__(self) -> int:
        return len(self._ends)

    @property
    def end(self) -> int:
        """Offset after the last character."""
        return self._ends[-1] if self._ends else 0

    def end_of(self, position: int) -> int:
        """Offset at which the text of the token at `position` (may be negative) ends."""
        return self._ends[position]

    def append(self, token: Token, author: Author) -> None:
        """Adds a token at the end."""
        ends = self._ends
        self.tokens.append(token, author)
        ends.append((ends[-1] if ends else 0) + len(token.text))
        if not token.clean:
            self._unclean.add(len(ends) - 1)
        if author is Author.INJECTED:
            self._floor = len(self._ends)

    def text_from(self, offset: int) -> str:
        """The text from `offset` on."""
        first = bisect_right(self._ends, offset)
        start = self._ends[first - 1] if first else 0
        return "".join(self.tokens.texts[first:])[offset - start :]

    def num_tokens_between(self, start: int, end: int) -> int:
        """How many tokens have text in `[start, end)`."""
        return bisect_right(self._ends, end - 1) - bisect_right(self._ends, start) + 1

    def boundary(self, offset: int) -> tuple[int, str]:
        """How many tokens end at or before `offset`, and the text between there and `offset`.

        A step may start inside a token: that token goes, and its part before the step has to be put
        back. Never cuts inside a character, nor into injected tokens.
        """
        keep = bisect_right(self._ends, offset)
        while keep > self._floor and keep - 1 in self._unclean:
            keep -= 1
        keep = max(keep, self._floor)
        start = self._ends[keep - 1] if keep else 0
        return keep, "".join(self.tokens.texts[keep:])[: max(0, offset - start)]

    def cut(self, keep: int) -> TokenTable:
        """Takes out the tokens from `keep` on."""
        del self._ends[keep:]
        self._unclean = {position for position in self._unclean if position < keep}
        self._unsettled = min(self._unsettled, keep)
        return self.tokens.cut(keep)

    def settle(self, piece: Piece, probability: float | None) -> None:
        """Writes the channel and the score of `piece` to the tokens whose text it holds.

        A piece without text that completes a step scores the token before it. A token that takes
        part in several pieces keeps the highest score.
        """
        ends, tokens = self._ends, self.tokens
        start = piece.end - len(piece.text)
        position = self._unsettled
        while position < len(ends) and ends[position] <= start:
            position += 1
        if not piece.text:
            position -= 1
            if position >= 0 and probability is not None:
                old = tokens.scores[position]
                tokens.scores[position] = probability if old is None else max(old, probability)
            return
        while position < len(ends):
            if tokens.channels[position] is None:
                tokens.channels[position] = piece.channel
            if probability is not None:
                old = tokens.scores[position]
                if old is None or probability > old:
                    tokens.scores[position] = probability
            if ends[position] >= piece.end:
                break
            position += 1
        self._unsettled = min(position, len(ends))
