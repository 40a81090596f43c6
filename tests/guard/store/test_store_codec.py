"""Traces and pairs to bytes and back."""

import math
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rerail.guard.channels import Channel
from rerail.guard.decision import Verdict
from rerail.guard.events import StepJudged
from rerail.guard.pairs import Pair, pairs_of
from rerail.guard.store_codec import pair_body, pair_of, trace_body, trace_of
from rerail.guard.tokens import Author, TokenTable
from rerail.guard.traces import Action, FinishReason, Intervention, Scanned, Trace

# Half surrogate pairs and NUL included: tokens may end in the middle of anything.
TEXTS = st.text(st.characters(), max_size=8)
PROBABILITIES = st.none() | st.floats(0, 1)
COUNTS = st.integers(0, 1 << 40)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXTS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(TEXTS | st.integers() | st.just("$map") | st.just("$tuple"), inner)
    ),
    max_leaves=6,
)
TOKENS = st.tuples(
    st.none() | st.integers(0, 1 << 20),
    TEXTS,
    st.sampled_from(Author),
    st.none() | st.sampled_from(Channel),
    PROBABILITIES,
)
TABLES = st.lists(TOKENS, max_size=5).map(
    lambda rows: TokenTable(*([list(column) for column in zip(*rows, strict=True)] if rows else []))
)
STEPS = st.builds(
    StepJudged,
    COUNTS,
    st.sampled_from(Channel),
    TEXTS,
    COUNTS,
    COUNTS,
    PROBABILITIES,
    st.sampled_from(Verdict),
    st.booleans(),
)
INTERVENTIONS = st.builds(
    Intervention,
    keep=COUNTS,
    channel=st.sampled_from(Channel),
    step_index=COUNTS,
    cue=TEXTS,
    probability=PROBABILITIES,
    trigger_id=st.none() | TEXTS,
    trigger_kind=st.none() | TEXTS,
    injected=TEXTS,
    num_injected=COUNTS,
    rolled_back=TABLES,
    succeeded=st.none() | st.booleans(),
)
TRACES = st.builds(
    Trace,
    id=TEXTS,
    created_at=st.datetimes(timezones=st.just(UTC) | st.just(timezone(timedelta(hours=5)))),
    duration_s=st.floats(0, 1e6),
    model=TEXTS,
    detector=TEXTS,
    messages=st.lists(st.dictionaries(TEXTS, VALUES, max_size=3), max_size=3).map(tuple),
    prompt=TEXTS,
    prompt_ids=st.lists(COUNTS, max_size=5).map(tuple),
    tokens=TABLES,
    steps=st.lists(STEPS, max_size=3).map(tuple),
    interventions=st.lists(INTERVENTIONS, max_size=2).map(tuple),
    failures=st.lists(TEXTS, max_size=2).map(tuple),
    action=st.sampled_from(Action),
    finish_reason=st.sampled_from(FinishReason),
    scanned=st.sampled_from(Scanned),
    leaked_tokens=COUNTS,
    wait_tokens=COUNTS,
    sampled_tokens=COUNTS,
    policy=TEXTS,
    hold=TEXTS,
    thresholds=st.dictionaries(TEXTS, st.tuples(st.floats(0, 1), st.floats(0, 1)), max_size=2),
    sampling=st.dictionaries(TEXTS, VALUES, max_size=3),
    seed=st.none() | st.integers(),
    topic=st.none() | TEXTS,
)


@settings(max_examples=80, deadline=None)
@given(TRACES)
def test_a_trace_comes_back_exactly(trace: Trace) -> None:
    back = trace_of(trace_body(trace))
    assert back == trace
    # Equal is not enough for enums that are strings: code asks for them with `is`.
    assert [type(author) for author in back.tokens.authors] == [Author] * len(trace.tokens)
    assert all(isinstance(each, Channel) for each in back.tokens.channels if each is not None)
    assert all(isinstance(step.verdict, Verdict) for step in back.steps)


def test_pairs_come_back_exactly(make_trace: Callable[..., Trace]) -> None:
    [pair] = pairs_of(make_trace())
    back = pair_of(pair_body(pair))
    assert isinstance(back, Pair)
    assert back == pair


def test_numpy_scalars_are_stored_as_numbers(make_trace: Callable[..., Trace]) -> None:
    tokens = TokenTable([1], ["a"], [Author.SAMPLED], [Channel.ANSWER], [np.float32(0.3)])  # type: ignore[list-item]
    trace = make_trace(num_tokens=40, tokens=tokens, sampling={"top_p": np.float64(0.9)})
    back = trace_of(trace_body(trace))
    assert back == trace
    assert type(back.tokens.scores[0]) is float


def test_scores_that_are_no_numbers_survive(make_trace: Callable[..., Trace]) -> None:
    tokens = TokenTable([1], ["a"], [Author.SAMPLED], [None], [math.nan])
    [score] = trace_of(trace_body(make_trace(tokens=tokens))).tokens.scores
    assert score is not None
    assert math.isnan(score)


@pytest.mark.parametrize("value", [object(), b"bytes", {1, 2}, np.zeros(2)])
def test_what_is_no_plain_value_is_refused(make_trace: Callable[..., Trace], value: Any) -> None:
    with pytest.raises(ValueError, match="cannot be stored"):
        trace_body(make_trace(sampling={"odd": value}))


def test_damage_is_noticed(make_trace: Callable[..., Trace]) -> None:
    body = bytearray(trace_body(make_trace()))
    body[len(body) // 2] ^= 0xFF
    with pytest.raises(ValueError, match="damaged"):
        trace_of(bytes(body))


def test_changing_a_loaded_trace_does_not_change_the_next(
    make_trace: Callable[..., Trace],
) -> None:
    body = trace_body(make_trace())
    trace_of(body).tokens.cut(0)
    assert len(trace_of(body).tokens) == 40
    assert trace_of(body) != replace(make_trace(), created_at=datetime(2020, 1, 1, tzinfo=UTC))
