"""Stores from elsewhere and hostile traces in one's own: read or refused, bounded, and shown
without effect on terminal or page; what is searched for is never SQL.
"""

import itertools
import json
import re
import sqlite3
import string
import unicodedata
import zlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from fuzzing import ESCAPES, HOSTILE, changed, damaged, fuzz, sentence
from golden_traces import TRACES as GOLDEN
from hypothesis import strategies as st

from rerail.guard import Store, Trace
from rerail.guard.pairs import pairs_of
from rerail.guard.store_codec import pair_body, pair_of, trace_body, trace_of
from rerail.guard.store_errors import StoreError
from rerail.guard.store_query import PairFilter, TraceFilter
from rerail.guard.traces import new_trace_id
from rerail.serve.lines import Lines
from rerail.serve.themes import MONO, SPOKEN
from rerail.serve.trace_diff import render_diff
from rerail.serve.trace_html import trace_html
from rerail.serve.trace_markdown import trace_markdown
from rerail.serve.trace_render import render
from rerail.serve.trace_stats import gathered, stats_lines
from rerail.serve.trace_svg import trace_svg
from rerail.serve.trace_table import trace_table

TRACE = GOLDEN["intervened"]()
(PAIR, *_) = pairs_of(TRACE)
RECORD = json.loads(zlib.decompress(trace_body(TRACE)))
PAIR_RECORD = json.loads(zlib.decompress(pair_body(PAIR)))
SHOWN: dict[str, Callable[[Trace], object]] = {
    "terminal": lambda trace: render(trace, 80, MONO),
    "html": trace_html,
    "markdown": trace_markdown,
    "svg": lambda trace: trace_svg(trace, 80, MONO),
}


@fuzz(record=changed(RECORD))
def test_a_record_is_a_trace_or_refused(record: Any) -> None:
    """And a trace that is one can be shown, exported and put away again."""
    body = zlib.compress(json.dumps(record).encode())
    try:
        trace = trace_of(body)
    except ValueError as error:
        sentence(error)
        return
    for show in SHOWN.values():
        show(trace)


@fuzz(record=changed(PAIR_RECORD))
def test_a_record_is_a_pair_or_refused(record: Any) -> None:
    try:
        pair_of(zlib.compress(json.dumps(record).encode()))
    except ValueError as error:
        sentence(error)


@fuzz(body=damaged(trace_body(TRACE)))
def test_damaged_bytes(body: bytes) -> None:
    try:
        trace_of(body)
    except ValueError as error:
        sentence(error)


def test_what_swells_is_refused_before_it_takes_memory() -> None:
    """A megabyte that would be 300; runs that would be a billion channels; brackets without end."""
    swelling = zlib.compressobj(1)
    blanks = b"".join(swelling.compress(b" " * (1 << 20)) for _ in range(300)) + swelling.flush()
    with pytest.raises(ValueError, match="more than 256 MiB"):
        trace_of(blanks)
    tokens = RECORD["tokens"] | {"channels": [["reasoning", 1 << 40]]}
    with pytest.raises(ValueError, match="runs"):
        trace_of(zlib.compress(json.dumps(RECORD | {"tokens": tokens}).encode()))
    with pytest.raises(ValueError, match="nested"):
        trace_of(zlib.compress(b"[" * 100_000))


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A store's file."""
    path = tmp_path_factory.mktemp("store") / "sound.db"
    with Store(path) as store:
        for number in range(3):
            store.add(replace(TRACE, id=f"{number:012x}deadbeef"))
    with sqlite3.connect(path) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return path.read_bytes()


@fuzz(data=st.data())
def test_a_damaged_database(sound: bytes, data: st.DataObject, tmp_path_factory: Any) -> None:
    path = tmp_path_factory.getbasetemp() / "damaged.db"
    for each in path.parent.glob("damaged.db*"):
        each.unlink()
    path.write_bytes(data.draw(damaged(sound)))
    try:
        with Store(path, read_only=True) as store:
            list(store.summaries())
            list(store.traces())
            list(store.pairs())
    except (StoreError, OSError, ValueError) as error:
        sentence(error)


def hostile_trace(texts: list[str]) -> Trace:
    """A sound trace with these texts wherever a trace has any."""
    names = itertools.cycle(texts)
    steps = tuple(replace(each, text=next(names)) for each in TRACE.steps)
    taken = [replace(each, cue=next(names), injected=next(names), trigger_id=next(names),
                     trigger_kind=next(names)) for each in TRACE.interventions]  # fmt: skip
    tokens = replace(TRACE.tokens, texts=[next(names) for _ in TRACE.tokens.texts])
    return replace(
        TRACE, model=next(names), detector=next(names), policy=next(names), hold=next(names),
        topic=next(names), failures=(next(names),), sampling={next(names): next(names)},
        messages=({"role": next(names), "content": next(names)},), steps=steps, tokens=tokens,
        interventions=tuple(taken), thresholds={next(names): (0.9, 0.5)}, prompt=next(names),
    )  # fmt: skip


def plain(lines: Lines) -> str:
    return "\n".join("".join(each.text for each in line) for line in lines.lines)


@fuzz(texts=st.lists(HOSTILE, min_size=1, max_size=6), width=st.integers(20, 160))
def test_no_text_of_a_trace_reaches_terminal_or_page(
    texts: list[str], width: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    trace = replace(hostile_trace(texts), id=new_trace_id())
    with Store(tmp_path_factory.getbasetemp() / "hostile.db") as store:
        store.add(trace, pairs=())
        summaries = [store.summary(trace.id)]
        trace = store.get(trace.id)
    for theme in (MONO, SPOKEN):
        drawn = (
            render(trace, width, theme),
            render_diff(trace, TRACE, width, theme),
            trace_table(summaries, 1, width, theme),
            stats_lines(gathered(summaries, [trace]), width, theme),
        )
        for text in map(plain, drawn):
            for each in text:
                assert unicodedata.category(each) not in ("Cc", "Cs") or each == "\n", ascii(text)
                assert each not in "\u202e\u200b\u2028", ascii(text)
    for page in (trace_html(trace), trace_svg(trace, 80, MONO)):
        assert "<script" not in page and "\x1b" not in page and "\x00" not in page
        page.encode()
    assert not re.search(r"(?<!\\)<script", trace_markdown(trace))


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Store, list[Trace]]]:
    """A store with odd names in it, and what it holds."""
    names = [
        "",
        "%",
        "_",
        "'",
        '"',
        "\\",
        "a%b",
        "a_b",
        "x' OR 1=1 --",
        "ÄRGER",
        "@",
        "a@1",
        "\x00",
    ]
    traces = [
        replace(
            TRACE, id=f"{number:012x}deadbeef", model=name, topic=name, detector=name,
            messages=({"role": "user", "content": f"<{name}>"},),
            created_at=datetime(2026, 1, 1, 0, number, tzinfo=UTC),
        )
        for number, name in enumerate(names)
    ]  # fmt: skip
    with Store(tmp_path_factory.mktemp("many") / "many.db") as store:
        for trace in traces:
            store.add(trace, pairs=())
        yield store, traces


NAMES = st.sampled_from(["", "%", "_", "'", '"', "\\", "a%b", "a_", "' OR '1'='1", "a", "\x00"])
WORDS = NAMES | HOSTILE | ESCAPES


@fuzz(topic=WORDS, model=WORDS, contains=WORDS, trigger=WORDS, detector=WORDS)
def test_a_search_is_for_what_it_says(
    many: tuple[Store, list[Trace]],
    topic: str,
    model: str,
    contains: str,
    trigger: str,
    detector: str,
) -> None:
    store, traces = many

    def called(name: str, wanted: str) -> bool:
        name, wanted = safe(name), safe(wanted)
        return name == wanted or name.startswith(f"{wanted}@")

    def safe(text: str) -> str:
        return text.encode("utf-8", "replace").decode().replace("\x00", "\ufffd")

    cases = [
        (TraceFilter(topic=topic), [t for t in traces if safe(t.topic or "") == safe(topic)]),
        (TraceFilter(model=model), [t for t in traces if called(t.model, model)]),
        (TraceFilter(detector=detector), [t for t in traces if called(t.detector, detector)]),
        (TraceFilter(trigger=trigger), traces if trigger in _triggers() else []),
    ]
    for wanted, expected in cases:
        assert {each.id for each in store.summaries(wanted)} == {each.id for each in expected}
        assert store.count(wanted) == len(expected)
    found = {each.id for each in store.summaries(TraceFilter(contains=contains))}
    needle = safe(contains).casefold()
    assert {t.id for t in traces if needle in safe(t.request).casefold()} <= found
    list(store.pairs(PairFilter(topic=topic, model=model, trigger=trigger, trace=contains)))
    assert store.count() == len(traces)


def _triggers() -> set[str | None]:
    return {each.trigger_id for each in TRACE.interventions}


@fuzz(prefix=WORDS | st.text(string.hexdigits, max_size=20))
def test_ids_are_never_patterns(many: tuple[Store, list[Trace]], prefix: str) -> None:
    store, traces = many
    matching = [trace for trace in traces if trace.id.startswith(prefix)]
    for find in (store.get, store.summary):
        try:
            assert find(prefix).id == matching[0].id and len(matching) == 1
        except (StoreError, ValueError) as error:
            sentence(error)
            assert len(matching) != 1, prefix
