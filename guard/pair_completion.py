"""Generates the original continuations that the live guard cut off, so that pairs become whole.

Each finished pair is stored by itself: a run that is stopped at any moment loses the one under way
and goes on from there the next time.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from .pairs import Pair
from .store_errors import NotInStore
from .store_query import PairFilter

if TYPE_CHECKING:
    from .store import Store


class Continuation(NamedTuple):
    """What the unguarded model wrote after a cue."""

    text: str
    """Up to the end of the generation, without the end token."""

    ids: tuple[int, ...]
    """Empty where the backend gives text only."""


Continue = Callable[[Sequence[Pair]], Iterable[Continuation]]
"""Continues each pair, in order and without a guard, after `prompt_ids + rejected_ids`; where these
are empty, after the text `prompt + rejected`."""


@dataclass(frozen=True, slots=True)
class Completion:
    """How far it has come."""

    done: int
    """Pairs completed so far."""

    total: int
    """Pairs that were asked for."""


def complete_pairs(
    store: "Store",
    continue_: Continue,
    wanted: PairFilter | None = None,
    *,
    batch_size: int = 1,
    progress: Callable[[Completion], None] | None = None,
) -> Completion:
    """Completes the pairs that are wanted and not complete; `batch_size` are handed over at once.

    What `continue_` raises goes through; the pairs before are stored. Raises `ValueError` if it
    gives fewer or more continuations than it was given pairs.
    """
    if batch_size < 1:
        raise ValueError(f"batch_size is {batch_size}: give at least 1")
    missing = replace(wanted or PairFilter(), complete=False)
    total, done = store.count_pairs(missing), 0
    for batch in _batches(store.pairs(missing), batch_size):
        for pair, continuation in zip(batch, continue_(batch), strict=True):
            # Somebody may have purged the pair meanwhile: then there is nothing to complete.
            with suppress(NotInStore):
                done += store.complete_pair(pair.id, continuation.text, continuation.ids)
            if progress is not None:
                progress(Completion(done, total))
    return Completion(done, total)


def _batches(pairs: Iterator[Pair], size: int) -> Iterator[list[Pair]]:
    while batch := list(islice(pairs, size)):
        yield batch
