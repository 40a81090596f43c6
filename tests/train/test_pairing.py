"""Pairs: what is kept, what is left out and why, and splits that share no prompt."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sandbox_tools import sandbox_tools

from rerail.guard.pairs import Pair
from rerail.train.pairing import (
    HARMLESS_ENDING,
    PairingConfig,
    is_harmless_pair,
    make_pairs,
    pairs_of_rollouts,
    prompt_key,
)
from rerail.train.prompts import sandbox_prompts
from rerail.train.rollout_config import RolloutConfig
from rerail.train.rollouts import roll_out


def _pair(
    number: int, *, topic: str | None = None, prompt: int = 0, harmless: bool = False
) -> Pair:
    return Pair(
        id=f"p{number}-0{HARMLESS_ENDING if harmless else ''}",
        trace_id=f"p{number}",
        ordinal=0,
        model="m",
        messages=({"role": "user", "content": f"request {prompt}"},),
        prompt=f"<{prompt}>",
        chosen=f"safe {number}",
        rejected="cue and more",
        prompt_ids=(1, 2, prompt + 3),
        chosen_ids=(10, number + 20),
        rejected_ids=(11, 12, 13),
        complete=True,
        trigger_id="t",
        probability=None,
        topic=topic,
    )


def test_pairs_of_rollouts_are_exact_on_both_sides() -> None:
    prompts = [
        *sandbox_prompts("train", "harmful", num=3),
        *sandbox_prompts("train", "lookalike", num=2),
    ]
    tools = sandbox_tools()
    records = roll_out(prompts, tools, RolloutConfig(num_triggers=2, look_every=8))
    pairs = pairs_of_rollouts(records, "sandbox@x")
    assert len(pairs) == sum(len(record.accepted) for record in records) > 3
    by_prompt = {f"{record.prompt.id}/{record.seed}": record for record in records}
    decode = tools.reader.tokenizer.decode
    for pair in pairs:
        record = by_prompt[pair.trace_id]
        assert record.cue is not None
        assert pair.prompt_ids == record.prompt_ids + record.original_ids[: record.cue.keep]
        assert decode(list(pair.prompt_ids)) == pair.prompt
        original, intervened = (
            (pair.chosen_ids, pair.rejected_ids)
            if is_harmless_pair(pair)
            else (pair.rejected_ids, pair.chosen_ids)
        )
        assert pair.prompt_ids + original == record.prompt_ids + record.original_ids
        assert pair.prompt_ids + intervened in [
            record.prompt_ids + branch.ids for branch in record.accepted
        ]
        for ids, text in ((pair.chosen_ids, pair.chosen), (pair.rejected_ids, pair.rejected)):
            assert decode(list(ids), skip_special_tokens=True) == text
    assert {is_harmless_pair(pair) for pair in pairs} == {True, False}
    assert len(make_pairs(pairs, PairingConfig(max_per_topic=None)).pairs) >= 4


def test_every_pair_left_out_has_its_reason() -> None:
    pairs = [
        _pair(1),
        replace(_pair(1), id="again"),
        replace(_pair(2), complete=False),
        replace(_pair(3), chosen_ids=()),
        replace(_pair(4), chosen_ids=(11, 12, 13)),
        replace(_pair(5), prompt_ids=(1,) * 9),
        _pair(6),
        _pair(7),
    ]
    made = make_pairs(pairs, PairingConfig(max_per_prompt=2, max_prompt_tokens=8))
    assert [pair.id for pair in made.pairs] == ["p1-0", "p6-0"]
    assert made.left_out == {
        "the same as another": 1,
        "not completed (`rerail pairs complete`)": 1,
        "without token ids": 1,
        "with two sides alike": 1,
        "with a prefix of more than 8 tokens": 1,
        "beyond 2 of one prompt": 1,
    }


def test_no_pairs_left_is_an_error_that_says_why() -> None:
    with pytest.raises(ValueError, match=r"no pairs are left.*1 not completed"):
        make_pairs([replace(_pair(1), complete=False)])
    with pytest.raises(ValueError, match="there were none to begin with"):
        make_pairs([])


def test_sides_are_cut_to_length_from_the_divergence_on() -> None:
    (pair,) = make_pairs([_pair(1)], PairingConfig(max_side_tokens=2)).pairs
    assert (pair.chosen_ids, pair.rejected_ids) == ((10, 21), (11, 12))
    assert pair.prompt_ids == _pair(1).prompt_ids


def test_a_topic_with_many_pairs_is_thinned() -> None:
    pairs = [_pair(n, topic="big", prompt=n) for n in range(30)]
    pairs += [_pair(100 + n, topic=f"small {n}", prompt=100 + n) for n in range(3)]
    made = make_pairs(pairs, PairingConfig(max_per_topic=4))
    assert sum(pair.topic == "big" for pair in made.pairs) == 4
    assert made.left_out == {"of a topic that has many": 26}
    assert [pair.id for pair in made.pairs] == sorted(
        (pair.id for pair in made.pairs), key=lambda each: int(each[1:-2])
    )


@settings(max_examples=50)
@given(
    harmful=st.integers(0, 20),
    harmless=st.integers(0, 40),
    ratio=st.sampled_from([0.0, 0.5, 1.0, 2.0, None]),
)
def test_the_ratio_of_harmless_pairs_is_kept(
    harmful: int, harmless: int, ratio: float | None
) -> None:
    pairs = [_pair(n, prompt=n) for n in range(harmful)]
    pairs += [_pair(100 + n, prompt=100 + n, harmless=True) for n in range(harmless)]
    if not harmful and not harmless:
        return
    wanted = harmless if ratio is None or not harmful else min(harmless, round(ratio * harmful))
    made = make_pairs(pairs, PairingConfig(harmless_ratio=ratio))
    assert made.counts.get("harmful", 0) == harmful
    assert made.counts.get("harmless", 0) == wanted


@settings(max_examples=50)
@given(prompts=st.lists(st.integers(0, 12), min_size=1, max_size=40), seed=st.integers(0, 5))
def test_no_prompt_is_on_both_sides_of_the_split(prompts: list[int], seed: int) -> None:
    pairs = [_pair(number, prompt=prompt) for number, prompt in enumerate(prompts)]
    config = PairingConfig(held_out=0.3, seed=seed, max_per_prompt=None)
    try:
        made = make_pairs(pairs, config)
    except ValueError:  # all of them are held out
        return
    assert {*map(prompt_key, made.pairs)} & {*map(prompt_key, made.held_out)} == set()
    assert len(made.pairs) + len(made.held_out) == len(pairs)
    assert make_pairs(pairs, config) == made


@pytest.mark.parametrize(
    "wrong",
    [
        {"max_per_prompt": 0},
        {"max_per_topic": 0.5},
        {"harmless_ratio": -1},
        {"held_out": 1.0},
        {"max_side_tokens": 0},
    ],
)
def test_wrong_settings_are_refused_by_name(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        PairingConfig(**wrong)
