"""Deleting: what goes, what stays, and that nothing of it can be read from the files."""

# pyright: reportPrivateUsage=false

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from rerail.guard.store import Store
from rerail.guard.store_errors import NotInStore
from rerail.guard.store_purge import Purged
from rerail.guard.store_query import TraceFilter
from rerail.guard.traces import Trace

MakeTrace = Callable[..., Trace]


@pytest.fixture
def filled(either_store: Store, make_trace: MakeTrace) -> Store:
    for number in range(6):
        either_store.add(make_trace(number))
    return either_store


def numbers(store: Store) -> tuple[set[int | None], set[int]]:
    """What is left: traces, and traces of pairs."""
    of_pairs = {int(pair.trace_id[:12], 16) for pair in store.pairs()}
    return {trace.seed for trace in store.traces()}, of_pairs


def test_by_age(filled: Store, make_trace: MakeTrace) -> None:
    assert filled.purge(before=make_trace(4).created_at) == Purged(4, 4, True)
    assert numbers(filled) == ({4, 5}, {4, 5})
    assert filled.trigger_success() == {"risk-1": (2, 2)}, "interventions went with their traces"


def test_by_id_also_shortened(filled: Store, make_trace: MakeTrace) -> None:
    assert filled.purge(ids=[make_trace(1).id, "000000000002"]) == Purged(2, 2, True)
    assert numbers(filled) == ({0, 3, 4, 5}, {0, 3, 4, 5})


def test_pairs_may_stay_and_go_later(filled: Store, make_trace: MakeTrace) -> None:
    assert filled.purge(before=make_trace(3).created_at, keep_pairs=True) == Purged(3, 0, True)
    assert numbers(filled) == ({3, 4, 5}, {0, 1, 2, 3, 4, 5})
    assert filled.purge(ids=[make_trace(1).id]) == Purged(0, 1, True), "named by their trace"
    assert filled.purge(before=make_trace(3).created_at) == Purged(0, 2, True), "by their age"
    assert filled.purge(everything=True) == Purged(3, 3, True)
    assert numbers(filled) == (set(), set())


def test_both_conditions_have_to_hold(filled: Store, make_trace: MakeTrace) -> None:
    ids = [make_trace(number).id for number in (1, 5)]
    assert filled.purge(ids=ids, before=make_trace(3).created_at) == Purged(1, 1, True)
    assert numbers(filled)[0] == {0, 2, 3, 4, 5}


def test_an_unknown_id_deletes_nothing(filled: Store, make_trace: MakeTrace) -> None:
    with pytest.raises(NotInStore, match="no trace 'ffff'"):
        filled.purge(ids=[make_trace(1).id, "ffff"])
    assert filled.count() == 6


def test_what_to_purge_has_to_be_said(filled: Store, make_trace: MakeTrace) -> None:
    begin = make_trace().created_at
    for wrong in ({}, {"everything": True, "before": begin}, {"everything": True, "ids": []}):
        with pytest.raises(ValueError, match="say what to purge"):
            filled.purge(**wrong)
    with pytest.raises(ValueError, match="time with its zone"):
        filled.purge(before=begin.replace(tzinfo=None))
    assert filled.purge(ids=[]) == Purged(0, 0, True), "no id is no trace, not every trace"
    assert filled.count() == 6


def test_purged_text_is_gone_from_the_files(tmp_path: Path, make_trace: MakeTrace) -> None:
    """A plain DELETE leaves the rows in free pages and in the write-ahead log."""
    path = tmp_path / "rerail.db"
    secret = "UNMISTAKABLE".casefold()

    def files_with_it() -> list[str]:
        return [file.name for file in tmp_path.iterdir() if secret.encode() in file.read_bytes()]

    with Store(path) as store, Store(path) as other:
        for number in range(40):
            message = {"role": "user", "content": f"{secret} {number} " * 200}
            store.add(make_trace(number, messages=(message,)))
        other.add(make_trace(100))
        assert files_with_it(), "else this test could not fail"
        size = sum(file.stat().st_size for file in tmp_path.iterdir())
        before = make_trace(40).created_at
        assert store.purge(before=before) == Purged(40, 40, True)
        assert files_with_it() == []
        assert sum(file.stat().st_size for file in tmp_path.iterdir()) < size / 2
        assert [trace.seed for trace in other.traces()] == [100]


def test_a_reader_in_the_middle_is_reported(tmp_path: Path, make_trace: MakeTrace) -> None:
    with Store(tmp_path / "rerail.db", timeout_s=0.1) as store:
        store.add(make_trace(1))
        with store._engine.connect() as reader, reader.begin():
            reader.exec_driver_sql("SELECT count(*) FROM traces").one()
            assert store.purge(everything=True) == Purged(1, 1, False)
        assert store.purge(everything=True) == Purged(0, 0, True)


def test_retention_of_thirty_days(store: Store, make_trace: MakeTrace) -> None:
    now = make_trace().created_at + timedelta(days=365)
    for days in (1, 29, 31, 300):
        store.add(make_trace(days, created_at=now - timedelta(days=days)))
    assert store.purge(before=now - timedelta(days=30)).traces == 2
    assert {each.seed for each in store.traces(TraceFilter())} == {1, 29}
