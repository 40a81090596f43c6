"""Traces in and out of the store; the same on SQLite and PostgreSQL."""

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from rerail.guard.channels import Channel
from rerail.guard.decision import Verdict
from rerail.guard.store import Store
from rerail.guard.store_cursor import Cursor
from rerail.guard.store_errors import NotInStore, StoreError
from rerail.guard.store_location import StoreLocation, default_store_path
from rerail.guard.store_query import TraceFilter, TraceOrder
from rerail.guard.traces import Action, FinishReason, Trace

MakeTrace = Callable[..., Trace]


def found(store: Store, **wanted: Any) -> list[int]:
    """Numbers of the traces that a filter finds, in its order; two ways of asking must agree."""
    filter_ = TraceFilter(**wanted)
    numbers = [int(each.id[:12], 16) for each in store.summaries(filter_)]
    assert numbers == [trace.seed for trace in store.traces(filter_)]
    if filter_.limit is None and not filter_.offset:
        assert store.count(filter_) == len(numbers)
    return numbers


def test_a_trace_comes_back_by_its_id_and_by_its_beginning(
    either_store: Store, make_trace: MakeTrace
) -> None:
    first, second = make_trace(1), make_trace(2)
    either_store.add(first)
    either_store.add(second)
    assert either_store.get(first.id) == first
    assert either_store.get("000000000002") == second
    with pytest.raises(NotInStore, match="fits several"):
        either_store.get("0000")
    for unknown in ("", "ff", first.id + "0", "%", "_"):
        with pytest.raises(NotInStore, match="no trace"):
            either_store.get(unknown)


def test_an_id_that_begins_another_is_found(store: Store, make_trace: MakeTrace) -> None:
    store.add(make_trace(1, id="ab"))
    store.add(make_trace(2, id="abc"))
    assert store.get("ab").seed == 1


def test_texts_that_databases_refuse_are_stored_all_the_same(
    either_store: Store, make_trace: MakeTrace
) -> None:
    """PostgreSQL takes no NUL, and neither database half of a surrogate pair."""
    trace = make_trace(
        1, messages=({"role": "user", "content": "nul \x00 half \ud83d"},), topic="a\x00b"
    )
    either_store.add(trace)
    assert either_store.get(trace.id) == trace
    assert found(either_store, contains="nul \x00") == [1]


def test_a_trace_is_stored_once(either_store: Store, make_trace: MakeTrace) -> None:
    either_store.add(make_trace(1))
    with pytest.raises(StoreError, match=r"is in the store .* already"):
        either_store.add(make_trace(1, topic="changed"))
    assert either_store.get(make_trace(1).id) == make_trace(1)
    assert either_store.count() == either_store.count_pairs() == 1


def test_a_trace_whose_pair_cannot_be_stored_is_not_stored_either(
    either_store: Store, make_trace: MakeTrace
) -> None:
    """One transaction a trace: with two, the trace would be there without its pairs."""
    either_store.add(make_trace(1))
    pairs = list(either_store.pairs())
    with pytest.raises(StoreError, match="already"):
        either_store.add(make_trace(2), pairs=pairs)
    assert either_store.count() == 1
    with pytest.raises(NotInStore):
        either_store.get(make_trace(2).id)


def test_filters(either_store: Store, make_trace: MakeTrace) -> None:
    begin = make_trace(0).created_at
    plain = {"interventions": (), "steps": (), "action": Action.ALLOW}
    either_store.add(make_trace(0, **plain, topic="maths"))
    either_store.add(make_trace(1, model="other@12ab", finish_reason=FinishReason.LENGTH))
    [intervention] = make_trace(2).interventions
    in_answer = replace(intervention, channel=Channel.ANSWER, trigger_id="rule-2", probability=0.75)
    in_answer.rolled_back.channels[:] = [Channel.ANSWER] * 3
    in_answer.rolled_back.scores[:] = [0.1, 0.2, 0.75]
    steps = tuple(replace(step, verdict=Verdict.RELEASE) for step in make_trace(2).steps)
    either_store.add(make_trace(2, interventions=(in_answer,), steps=steps, detector="judge@1"))

    assert found(either_store) == [2, 1, 0]
    assert found(either_store, since=begin + timedelta(minutes=1)) == [2, 1]
    assert found(either_store, until=begin + timedelta(minutes=1)) == [0]
    assert found(either_store, model="other@12ab") == found(either_store, model="other") == [1]
    assert found(either_store, model="oth") == found(either_store, model="other@") == []
    assert found(either_store, detector="judge@1") == found(either_store, detector="judge") == [2]
    assert found(either_store, topic="maths") == [0]
    assert found(either_store, finish=FinishReason.LENGTH) == [1]
    assert found(either_store, action=Action.INTERVENE) == [2, 1]
    assert found(either_store, action=Action.ALLOW) == [0]
    assert found(either_store, trigger="rule-2") == [2]
    assert found(either_store, min_score=0.75) == [2, 1]
    assert found(either_store, min_score=0.8) == [1]
    # In a channel: its own action and score, not the trace's.
    assert found(either_store, channel=Channel.REASONING, action=Action.INTERVENE) == [1]
    assert found(either_store, channel=Channel.ANSWER, action=Action.INTERVENE) == [2]
    assert found(either_store, channel=Channel.REASONING, min_score=0.75) == [1]
    assert found(either_store, channel=Channel.ANSWER, min_score=0.5) == [2]
    assert found(either_store, channel=Channel.ANSWER) == [2, 1, 0]
    assert found(either_store, channel=Channel.TOOL_CALL) == []


def test_text_search(either_store: Store, make_trace: MakeTrace) -> None:
    either_store.add(make_trace(1))
    either_store.add(make_trace(2, messages=({"role": "user", "content": "else"},)))
    assert found(either_store, contains="ärger") == [1], "in any case, also beyond ASCII"
    assert found(either_store, contains="100%_SURE") == [1]
    assert found(either_store, contains="100_%sure") == [], "no wildcards"
    assert found(either_store, contains="First, gather") == [2, 1], "rolled-back text too"
    assert found(either_store, contains="kept7 kept8") == [2, 1]


def test_orders_and_pages(either_store: Store, make_trace: MakeTrace) -> None:
    scores = [0.2, None, 0.9, 0.5]
    for number, score in enumerate(scores):
        trace = make_trace(number, num_tokens=40 + number, duration_s=10.0 - number)
        trace.tokens.scores[:] = [score] * len(trace.tokens)
        quiet = {"interventions": (), "steps": ()} if number else {}
        either_store.add(replace(trace, **quiet))
    assert found(either_store, order=TraceOrder.OLDEST) == [0, 1, 2, 3]
    assert found(either_store, order=TraceOrder.NEWEST, limit=2) == [3, 2]
    assert found(either_store, limit=2, offset=2) == [1, 0]
    assert found(either_store, offset=3) == [0]
    assert found(either_store, order=TraceOrder.TOKENS) == [3, 2, 1, 0]
    assert found(either_store, order=TraceOrder.DURATION) == [0, 1, 2, 3]
    assert found(either_store, order=TraceOrder.INTERVENTIONS, limit=1) == [0]
    # 0 has an intervention at 0.875; never scored comes last, below any score.
    assert found(either_store, order=TraceOrder.SCORE) == [2, 0, 3, 1]


@pytest.mark.parametrize(
    "wrong",
    [{"limit": 0}, {"offset": -1}, {"min_score": 1.5}, {"since": "naive"}, {"until": "naive"}],
)
def test_wrong_filters_are_refused(make_trace: MakeTrace, wrong: dict[str, Any]) -> None:
    naive: Any = make_trace().created_at.replace(tzinfo=None)
    with pytest.raises(ValueError, match="give"):
        TraceFilter(**{key: naive if value == "naive" else value for key, value in wrong.items()})


def test_a_summary_says_what_its_trace_says(either_store: Store, make_trace: MakeTrace) -> None:
    trace = make_trace(3)
    either_store.add(trace)
    summary = either_store.summary(trace.id)
    for name in ("id", "created_at", "model", "action", "finish_reason", "scanned", "policy"):
        assert getattr(summary, name) == getattr(trace, name)
    assert (summary.num_tokens, summary.num_rolled_back, summary.num_interventions) == (40, 3, 1)
    assert summary.max_score == 0.875, "the rolled-back tokens' scores count"
    assert summary.request == trace.request
    assert not summary.redacted


def test_many_traces_are_read_in_pages(store: Store, make_trace: MakeTrace) -> None:
    for number in range(150):
        store.add(make_trace(number))
    reading = store.traces(TraceFilter(order=TraceOrder.OLDEST))
    assert next(reading).seed == 0
    # A reader half-way holds nothing: others go on writing and purging.
    store.purge(ids=[make_trace(149).id])
    assert [trace.seed for trace in reading] == list(range(1, 149))


def test_a_watcher_sees_each_trace_once_in_order_of_storing(
    either_store: Store, make_trace: MakeTrace
) -> None:
    either_store.add(make_trace(5))
    cursor = either_store.newest()
    assert either_store.newer(cursor)[0] == []
    # Begun before the other, stored after it: a watcher that looks at times would miss it.
    either_store.add(make_trace(9))
    either_store.add(make_trace(1))
    seen, cursor = either_store.newer(cursor)
    assert [each.id for each in seen] == [make_trace(9).id, make_trace(1).id]
    assert either_store.newer(cursor)[0] == []
    first, after_first = either_store.newer(Cursor(), limit=2)
    rest, _ = either_store.newer(after_first, limit=2)
    assert [int(each.id[:12], 16) for each in first + rest] == [5, 9, 1]
    # Sequences are never used again, else this one would be missed.
    either_store.purge(everything=True)
    either_store.add(make_trace(7))
    assert [int(each.id[:12], 16) for each in either_store.newer(cursor)[0]] == [7]


def test_a_commit_out_of_order_is_not_missed(store: Store, make_trace: MakeTrace) -> None:
    """PostgreSQL hands out sequences before it commits: 2 may be visible before 1 is."""
    store.add(make_trace(1))
    store.add(make_trace(2))
    both, _ = store.newer(Cursor())
    late = Cursor(both[1].sequence, frozenset({both[1].sequence}))
    assert [each.sequence for each in store.newer(late)[0]] == [both[0].sequence]


def test_trigger_success(either_store: Store, make_trace: MakeTrace) -> None:
    outcomes = [
        ("risk-1", True),
        ("risk-1", False),
        ("risk-1", None),
        ("rule-2", True),
        (None, None),
    ]
    for number, (trigger_id, succeeded) in enumerate(outcomes):
        trace = make_trace(number)
        [intervention] = trace.interventions
        changed = replace(intervention, trigger_id=trigger_id, succeeded=succeeded)
        either_store.add(replace(trace, interventions=(changed,)))
    assert either_store.trigger_success() == {"risk-1": (1, 2), "rule-2": (1, 1)}


def test_redacted_traces_hold_no_word(store: Store, make_trace: MakeTrace) -> None:
    trace = make_trace(1, failures=("TimeoutError: while reading 'kept3'", "kept4 broke"))
    store.add(trace, redacted=True)
    back = store.get(trace.id)
    assert back.text == back.prompt == back.request == ""
    assert back.ids == back.prompt_ids == ()
    assert back.tokens.authors == trace.tokens.authors
    assert back.tokens.scores == trace.tokens.scores
    assert back.interventions[0].rolled_back.scores == [0.25, 0.5, 0.875]
    assert back.failures == ("TimeoutError", "redacted")
    assert store.summary(trace.id).redacted
    assert store.count_pairs() == 0
    assert store.trigger_success() == {"risk-1": (1, 1)}, "still learned from"
    store.close()
    words = ("Request", "kept", "gather", "PLACEHOLDER", "step 1", "</s>")
    stored = repr(back).encode() + Path(store.name).read_bytes()
    assert [word for word in words if word.encode() in stored] == []


def test_places(tmp_path: Path) -> None:
    assert StoreLocation.parse("a/b.db") == StoreLocation(Path("a/b.db"), None)
    assert StoreLocation.parse("sqlite:///a.db").path == Path("a.db")
    assert StoreLocation.parse("sqlite:////a.db").path == Path("/a.db")
    for scheme in ("postgresql", "postgres", "postgresql+psycopg"):
        place = StoreLocation.parse(f"{scheme}://me:secret@db:5432/traces?password=secret")
        assert place.url == "postgresql+psycopg://me:secret@db:5432/traces?password=secret"
        assert place.name == "postgresql://me@db:5432/traces"
    for password in ("pa/ss", "pa?ss", "pa#ss", "[pass", "pa:ss"):
        place = StoreLocation.parse(f"postgresql://me:{password}@db:5432/traces")
        assert place.name == "postgresql://me@db:5432/traces", "ends where the driver ends it"
    for wrong in ("", "mysql://db/x", "sqlite://", "sqlite:///:memory:"):
        with pytest.raises(ValueError, match="give"):
            StoreLocation.parse(wrong)


def test_the_default_place() -> None:
    assert default_store_path({"XDG_DATA_HOME": "/data"}) == Path("/data/rerail/rerail.db")
    home = Path("/home/me/.local/share/rerail/rerail.db")
    assert default_store_path({"HOME": "/home/me"}) == home
    assert default_store_path({"HOME": "/home/me", "XDG_DATA_HOME": "relative"}) == home


def test_only_the_owner_may_read_a_new_store(tmp_path: Path, make_trace: MakeTrace) -> None:
    folder = tmp_path / "new" / "er"
    umask = os.umask(0)
    try:
        with Store(folder / "rerail.db") as store:
            store.add(make_trace())
            modes = {path.stat().st_mode & 0o777 for path in folder.iterdir()}
    finally:
        os.umask(umask)
    assert modes == {0o600}, "the write-ahead log holds the texts as well"
    assert folder.stat().st_mode & 0o777 == 0o700


def test_odd_file_names(tmp_path: Path, make_trace: MakeTrace) -> None:
    for name in ("a b?mode=memory.db", "100%25#.db", "ü.db"):
        with Store(tmp_path / name) as store:
            store.add(make_trace())
        with Store(tmp_path / name, read_only=True) as store:
            assert store.count() == 1
        assert (tmp_path / name).is_file()


def test_an_up_to_date_store_opens_without_alembic(tmp_path: Path) -> None:
    """Importing it takes half a second, which every command would pay."""
    Store(tmp_path / "a.db").close()
    code = (
        "import sys; from rerail.guard.store import Store; Store(sys.argv[1]).count();"
        "sys.exit('alembic' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "a.db")], check=True)
