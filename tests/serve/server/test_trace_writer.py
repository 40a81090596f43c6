"""Traces on their way into a store that fails, comes back, or refuses one of them."""

import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any, cast

import pytest

from rerail.guard import FinishReason, Guard, GuardConfig, Store, Trace, guarded
from rerail.guard.backend_scripted import ScriptedBackend
from rerail.guard.store_errors import StoreError
from rerail.guard.traces import new_trace_id
from rerail.serve.trace_writer import TraceWriter, WhenUnstored
from rerail.serve.wire_errors import ApiError


def a_trace() -> Trace:
    backend = ScriptedBackend(["So.</think>Done."])
    *_, last = guarded(backend, Guard(None, GuardConfig()), backend.prompt("x"))
    return cast(Any, last).trace


TRACE = a_trace()


def traces(num: int) -> list[Trace]:
    return [replace(TRACE, id=new_trace_id()) for _ in range(num)]


class FakeStore:
    """Stores in a list, as long as `refuses` lets it."""

    def __init__(self, refuses: Callable[[Trace], bool] = lambda trace: False) -> None:
        self.refuses = refuses
        self.ids: list[str] = []
        self.closed = False
        self.stored = threading.Event()

    def add(self, trace: Trace, *, redacted: bool = False) -> None:
        if self.refuses(trace):
            raise StoreError("the store is away")
        self.ids.append(trace.id)

    def summary(self, trace_id: str) -> object:
        if trace_id not in self.ids:
            raise StoreError("it is not there")
        return object()

    def close(self) -> None:
        self.closed = True


def writer(store: FakeStore, **options: Any) -> TraceWriter:
    return TraceWriter(cast(Store, store), first_pause_s=0.01, **options)


def test_all_are_stored_in_order_and_the_store_is_closed() -> None:
    store = FakeStore()
    made, sent = writer(store), traces(20)
    for trace in sent:
        made.submit(trace)
    made.close()
    assert store.ids == [trace.id for trace in sent] and store.closed
    assert (made.num_stored, made.num_lost) == (20, 0)


def test_what_waits_is_tried_again() -> None:
    away = [True]
    store = FakeStore(lambda trace: away[0])
    made, sent = writer(store), traces(5)
    for trace in sent:
        made.submit(trace)
    while not made.failing:
        pass
    away[0] = False
    made.close()
    assert set(store.ids) == {trace.id for trace in sent} and made.num_lost == 0


def test_room_is_kept_for_those_that_run() -> None:
    store = FakeStore(lambda trace: True)
    made = writer(store, capacity=3)
    with made.room_for(2):
        with pytest.raises(ApiError) as caught, made.room_for(2):
            pass
        assert caught.value.code == "store_unavailable"
        for trace in traces(2):
            made.submit(trace)
    with made.room_for(1):
        assert made.full
    assert not made.full
    made.close(timeout_s=0.05)
    assert made.num_lost == 2, "only at the very end, and counted"


def test_going_on_loses_what_has_no_room() -> None:
    store = FakeStore(lambda trace: True)
    made = writer(store, capacity=3, when_unstored=WhenUnstored.GO_ON)
    for trace in traces(5):
        with made.room_for(9):
            made.submit(trace)
    assert made.num_lost == 2 and not made.full
    made.close(timeout_s=0.05)


def test_one_that_cannot_be_stored_does_not_hold_up_the_others() -> None:
    sent = traces(6)
    store = FakeStore(lambda trace: trace.id == sent[0].id)
    made = writer(store)
    for trace in sent:
        made.submit(trace)
    made.close(timeout_s=5)
    assert set(store.ids) == {trace.id for trace in sent[1:]}
    assert made.num_lost == 1


def test_stored_already_counts_as_stored(tmp_path: Any) -> None:
    """An attempt whose success got lost on the way back is repeated."""
    store = Store(tmp_path / "traces.db")
    made = TraceWriter(store, first_pause_s=0.01)
    made.submit(TRACE)
    made.submit(TRACE)
    made.close()
    assert (made.num_stored, made.num_lost) == (2, 0)
    with Store(tmp_path / "traces.db") as again:
        assert [each.finish_reason for each in again.traces()] == [FinishReason.STOP]


def test_without_a_store_there_is_always_room() -> None:
    made = TraceWriter(None, capacity=1)
    with made.room_for(100):
        made.submit(TRACE)
    made.close()
    assert made.num_stored == made.num_lost == 0
