"""Batches of generations with exact token ids: what rollouts, rounds and evaluation ask models for.

Every job has a seed of its own and its own stream of random numbers, so what comes out does not
depend on which other jobs were under way: a run that was interrupted goes on as if it had not been.
(The arithmetic of a batch depends a little on its shape; what is next to a tie may still differ.)
"""

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol


class Ended(StrEnum):
    """Why a generation ended."""

    STOP = "stop"
    """The model's own end token, which is the last of the ids."""

    LENGTH = "length"
    """Its budget or the model's context is used up."""

    WATCH = "watch"
    """Whoever watched it had seen enough."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """How tokens are drawn; wrong values raise `ValueError`."""

    temperature: float = 0.7
    """0 takes the most likely token."""

    top_p: float = 0.95
    """Draw from the most likely tokens that make up this share."""

    top_k: int = 0
    """Draw from so many of the most likely tokens; 0: from all."""

    max_new_tokens: int = 480
    """Tokens a generation may have."""

    def __post_init__(self) -> None:
        if self.temperature < 0:
            raise ValueError(f"temperature is {self.temperature}: give 0 or more")
        if not 0 < self.top_p <= 1:
            raise ValueError(f"top_p is {self.top_p}: give a number above 0, 1 at most")
        if self.top_k < 0:
            raise ValueError(f"top_k is {self.top_k}: give 0 or more")
        if self.max_new_tokens < 1:
            raise ValueError(f"max_new_tokens is {self.max_new_tokens}: give at least 1")


@dataclass(frozen=True, slots=True)
class Job:
    """One generation to be made."""

    ids: tuple[int, ...]
    """All that the model has to continue."""

    seed: int = 0
    """Below 2**63; see `seed_of`."""

    drawn: int = 0
    """Random numbers of this seed that are used already: the tokens that this same generation has
    sampled before, where `ids` ends with them."""

    max_new_tokens: int | None = None
    """The sampling's where None."""

    shared: int | None = None
    """How many of the first ids other jobs of the batch have too: these are read once. All but the
    last id where None."""


@dataclass(frozen=True, slots=True)
class Completion:
    """What a model wrote for one job."""

    ids: tuple[int, ...]
    """New ids only, with the end token where there is one."""

    ended: Ended


class Watch(Protocol):
    """Looks at generations under way and ends those of which enough has been seen."""

    @property
    def every(self) -> int:
        """How many tokens are generated between two looks."""
        ...

    def ended(self, written: Mapping[int, Sequence[int]]) -> Collection[int]:
        """Which of the jobs (by their number) are to end now; `written` has those under way."""
        ...


class Generator(Protocol):
    """A model that generates many completions at once."""

    def generate(
        self, jobs: Sequence[Job], sampling: Sampling, watch: Watch | None = None
    ) -> list[Completion]:
        """One completion for each job, in their order.

        A job whose ids fill the model's context already gives no tokens and ends by `LENGTH`.
        """
        ...


def seed_of(*parts: object) -> int:
    """A seed from anything that names a generation; the same in every process."""
    text = "\x1f".join(map(str, parts))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1
