"""A generation's tokens on their way in: taken up one by one, cut into pieces, put back again.

A token is taken up only when all the pieces before it have been read; those that the engine has
produced meanwhile wait, and a rollback takes them out with the rest.
"""

from collections import deque
from collections.abc import Iterable

from .branch import Branch
from .channels import Channel
from .release import ReleaseGate
from .segmenter import Segmenter
from .steps import Mark, Piece
from .tokens import Author, Token, TokenTable
from .traces import FinishReason

_FEW_TOKENS = 8
_FEW_CHARS = 100


class Intake:
    """Tokens in, pieces out, one by one; keeps the branch and the segmenter in step."""

    __slots__ = (
        "_already_read",
        "_branch",
        "_flushed",
        "_gate",
        "_injected_left",
        "_segmenter",
        "_waiting",
        "finish_reason",
        "injected",
        "pieces",
    )

    def __init__(self, segmenter: Segmenter, branch: Branch, gate: ReleaseGate) -> None:
        self._segmenter = segmenter
        self._branch = branch
        self._gate = gate
        self._waiting: deque[tuple[Token, Author]] = deque()
        self._injected_left = 0
        self._already_read = 0  # characters of a split token that are put back before a trigger
        self._flushed = False
        self.pieces: deque[Piece] = deque()
        """Settled, and not given out yet."""
        self.finish_reason: FinishReason | None = None
        """Why no more tokens come; `None` while some may."""
        self.injected = False
        """Whether the token taken up last, which the last piece ends in, was injected."""

    @property
    def num_waiting(self) -> int:
        """Tokens that have not been taken up."""
        return len(self._waiting)

    @property
    def is_short(self) -> bool:
        """Whether all that waits is a few words of a generation that goes on."""
        if self.finish_reason is not None or self.pieces or len(self._waiting) > _FEW_TOKENS:
            return False
        return sum(len(token.text) for token, _ in self._waiting) <= _FEW_CHARS

    @property
    def channel(self) -> Channel:
        """Of the text that comes next."""
        following = (each.channel for each in self.pieces if each.channel is not None)
        return next(following, self._segmenter.channel)

    def add(self, tokens: Iterable[Token]) -> int:
        """Takes sampled tokens; how many they are."""
        before = len(self._waiting)
        for token in tokens:
            self._waiting.append((token, Author.SAMPLED))
        return len(self._waiting) - before

    def inject(self, tokens: Iterable[Token]) -> int:
        """Takes injected tokens, a step by themselves; how many they are."""
        before = len(self._waiting)
        for token in tokens:
            self._waiting.append((token, Author.INJECTED))
        self._injected_left = len(self._waiting) - before
        return self._injected_left

    def next(self) -> Piece | None:
        """The next piece; `None` until there are more tokens, and when all have been read."""
        while not self.pieces:
            if self._waiting:
                self._take(*self._waiting.popleft())
            elif self.finish_reason is not None and not self._flushed:
                self._flushed = True
                self.pieces.extend(self._segmenter.end())
            else:
                return None
        return self.pieces.popleft()

    def end(self, finish_reason: FinishReason | None) -> None:
        """No more tokens come, and why; `None`: they do come, again."""
        self.finish_reason = finish_reason
        self._flushed = False

    def drop(self) -> None:
        """Forgets all that has not been read."""
        self._waiting.clear()
        self.pieces.clear()

    def roll_back(self, keep: int, mark: Mark, *, already_read: int) -> TokenTable:
        """Takes out the branch's tokens from `keep` on and all that wait; goes on at `mark`.

        `already_read`: so many characters of what is injected next stood before the mark.
        """
        self._segmenter.rewind(mark)
        removed = self._branch.cut(keep)
        for token, _ in self._waiting:
            removed.append(token, Author.ROLLED_BACK)
        removed.authors[:] = [Author.ROLLED_BACK] * len(removed)
        self.drop()
        self._already_read = already_read
        return removed

    def _take(self, token: Token, author: Author) -> None:
        self._branch.append(token, author)
        self._gate.token()
        text = token.text
        if self._already_read:
            skipped = min(self._already_read, len(text))
            self._already_read -= skipped
            text = text[skipped:]
        if text:
            self.pieces.extend(self._segmenter.read(text))
        self.injected = author is Author.INJECTED
        if self.injected:
            self._injected_left -= 1
            if self._injected_left == 0:
                self.pieces.extend(self._segmenter.close_step())
