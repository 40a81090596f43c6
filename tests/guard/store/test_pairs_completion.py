"""Completing pairs: the rest of the rejected side, a pair at a time."""

from collections.abc import Callable, Iterable, Sequence

import pytest

from rerail.guard.pair_completion import Completion, Continuation, complete_pairs
from rerail.guard.pairs import Pair
from rerail.guard.store import Store
from rerail.guard.store_errors import NotInStore
from rerail.guard.store_query import PairFilter
from rerail.guard.traces import Trace

MakeTrace = Callable[..., Trace]


class Continuer:
    """Stands in for a model: remembers what it was asked, and can be told to fail."""

    def __init__(self, fail_at: int | None = None, error: type[BaseException] = OSError) -> None:
        self.asked: list[list[str]] = []
        self._left = fail_at
        self._error = error

    def __call__(self, pairs: Sequence[Pair]) -> Iterable[Continuation]:
        self.asked.append([pair.id for pair in pairs])
        for pair in pairs:
            if self._left is not None:
                if self._left == 0:
                    raise self._error
                self._left -= 1
            yield Continuation(f" rest of {pair.id}", (50, pair.prompt_ids[3]))


@pytest.fixture
def filled(either_store: Store, make_trace: MakeTrace) -> Store:
    for number in range(5):
        either_store.add(make_trace(number))
    return either_store


def test_the_rest_is_added_to_the_rejected_side(filled: Store, make_trace: MakeTrace) -> None:
    progress: list[Completion] = []
    done = complete_pairs(filled, Continuer(), batch_size=2, progress=progress.append)
    assert done == Completion(5, 5)
    assert progress == [Completion(number, 5) for number in range(1, 6)]
    for number, pair in enumerate(filled.pairs()):
        assert pair.complete
        assert pair.rejected == f" First, gather PLACEHOLDER. rest of {make_trace(number).id}-0"
        assert pair.rejected_ids == (7, 8, 9, 50, number)
        assert pair.chosen_ids
    assert filled.count_pairs(PairFilter(complete=True)) == 5


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
def test_a_run_that_is_stopped_goes_on_where_it_was(
    filled: Store, make_trace: MakeTrace, error: type[BaseException]
) -> None:
    ids = [f"{make_trace(number).id}-0" for number in range(5)]
    with pytest.raises(error):
        complete_pairs(filled, Continuer(fail_at=3, error=error), batch_size=2)
    assert filled.count_pairs(PairFilter(complete=True)) == 3
    again = Continuer()
    assert complete_pairs(filled, again, batch_size=2) == Completion(2, 2)
    assert again.asked == [ids[3:]]
    nothing = Continuer()
    assert complete_pairs(filled, nothing) == Completion(0, 0)
    assert nothing.asked == []


def test_only_the_pairs_that_are_wanted(filled: Store, make_trace: MakeTrace) -> None:
    continuer = Continuer()
    complete_pairs(filled, continuer, PairFilter(trace=make_trace(2).id))
    assert continuer.asked == [[f"{make_trace(2).id}-0"]]


def test_a_pair_is_completed_once(filled: Store, make_trace: MakeTrace) -> None:
    """Two processes at the same pair: the second one's work changes nothing."""
    pair_id = f"{make_trace(0).id}-0"
    assert filled.complete_pair(pair_id, " one", (1,))
    assert not filled.complete_pair(pair_id, " two", (2,))
    assert filled.pair(pair_id).rejected.endswith(" one")


def test_a_pair_purged_meanwhile_is_passed_over(filled: Store, make_trace: MakeTrace) -> None:
    continuer = Continuer()

    def purging(pairs: Sequence[Pair]) -> Iterable[Continuation]:
        filled.purge(ids=[make_trace(1).id])
        filled.purge(ids=[])
        return list(continuer(pairs))

    wanted = PairFilter(until=make_trace(2).created_at)
    assert complete_pairs(filled, purging, wanted, batch_size=5) == Completion(1, 2)
    with pytest.raises(NotInStore, match="no pair"):
        filled.pair(f"{make_trace(1).id}-0")


def test_ids_are_kept_only_where_both_parts_have_them(filled: Store, make_trace: MakeTrace) -> None:
    pair_id = f"{make_trace(0).id}-0"
    filled.complete_pair(pair_id, " text only", ())
    assert filled.pair(pair_id).rejected_ids == ()
    # The cue was already the end: nothing to add, and the ids stay.
    other_id = f"{make_trace(1).id}-0"
    filled.complete_pair(other_id, "", ())
    assert filled.pair(other_id).rejected_ids == (7, 8, 9)


def test_a_continuer_that_miscounts_is_refused(filled: Store) -> None:
    with pytest.raises(ValueError, match=r"zip\(\) argument 2 is shorter"):
        complete_pairs(filled, lambda pairs: [Continuation("x", ())], batch_size=2)
    with pytest.raises(ValueError, match="batch_size is 0"):
        complete_pairs(filled, Continuer(), batch_size=0)
