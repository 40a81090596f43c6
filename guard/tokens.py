"""Tokens, and who wrote them.

Every token of a trace says who wrote it. The ids of the prompt followed by those of the kept tokens
are exactly what the model saw; nothing is ever tokenised a second time.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from .channels import Channel


class Author(StrEnum):
    """Who wrote a token."""

    PROMPT = "prompt"
    """Never of a kept token: the prompt has a place of its own in a trace."""

    SAMPLED = "sampled"
    """By the model."""

    INJECTED = "injected"
    """By the guard."""

    ROLLED_BACK = "rolled_back"
    """Sampled, and taken out again."""


@dataclass(frozen=True, slots=True)
class TokenLogprob:
    """How likely a token was to the model, for callers who asked; not kept with the trace."""

    token: str
    """The token as the engine spells it."""

    logprob: float
    """Natural logarithm of its probability."""

    top: tuple[tuple[str, float], ...] = ()
    """The likeliest tokens in its place and their log probabilities, the likeliest first."""


class Token(NamedTuple):
    """One token as a backend gives it."""

    id: int | None
    """`None` where the backend has text only."""

    text: str
    """The text that this token completes; empty while a character is still incomplete."""

    clean: bool = True
    """Whether the text ends with this token at a character's end: only there can it be cut."""

    logprob: TokenLogprob | None = None
    """Where it was asked for."""


@dataclass(slots=True)
class TokenTable:
    """Tokens as columns of equal length; grows at the end, and can be cut there."""

    ids: list[int | None] = field(default_factory=list)
    """`None` where the backend gave text only."""

    texts: list[str] = field(default_factory=list)
    """What each adds to the text; empty for a part of a character."""

    authors: list[Author] = field(default_factory=list)
    """Who wrote each."""

    channels: list[Channel | None] = field(default_factory=list)
    """`None` for control markup, and where it was never settled."""

    scores: list[float | None] = field(default_factory=list)
    """Probability that the step, read up to this token, is a compliance cue; `None`: not scored."""

    def __len__(self) -> int:
        return len(self.texts)

    def append(self, token: Token, author: Author) -> None:
        """Adds a token that has been neither scored nor given a channel yet."""
        self.ids.append(token.id)
        self.texts.append(token.text)
        self.authors.append(author)
        self.channels.append(None)
        self.scores.append(None)

    def cut(self, keep: int) -> "TokenTable":
        """Takes out all tokens from `keep` on and gives them back as a table of their own."""
        tail = TokenTable(
            self.ids[keep:],
            self.texts[keep:],
            self.authors[keep:],
            self.channels[keep:],
            self.scores[keep:],
        )
        for column in (self.ids, self.texts, self.authors, self.channels, self.scores):
            del column[keep:]
        return tail

    @property
    def text(self) -> str:
        """All of it."""
        return "".join(self.texts)

    def known_ids(self, start: int = 0) -> tuple[int, ...]:
        """The ids from `start` on; empty if the backend gave text only."""
        return known_ids(self.ids[start:])


def known_ids(ids: Iterable[int | None]) -> tuple[int, ...]:
    """`ids` if all of them are known, else nothing: half a sequence of ids is of no use."""
    listed: Sequence[int | None] = list(ids)
    known = tuple(token_id for token_id in listed if token_id is not None)
    return known if len(known) == len(listed) else ()
