"""The rows of a preference training: which pairs do, what is cut, and in which order they come."""

from copy import deepcopy
from dataclasses import replace

import pytest
from preference_pairs import id_pairs, pair
from tiny_models import tiny_tokenizer

from rerail.train.preference_config import Arm, PreferenceConfig
from rerail.train.preference_data import rows_of, training_order

CONFIG = PreferenceConfig()


def test_pairs_of_another_model_are_refused() -> None:
    tokenizer = tiny_tokenizer()
    with pytest.raises(ValueError, match="token id 151000"):
        rows_of([pair("x", (5, 6), (7,), (151_000,))], tokenizer, CONFIG)
    strange = pair("y", (5, 6), (300, 301), (8,), texts=["hello", "Quite another text", "no"])
    with pytest.raises(ValueError, match="do not read as its text"):
        rows_of([strange], tokenizer, CONFIG)


def test_pairs_from_text_alone_get_no_end_token() -> None:
    plain = pair("t", (), (), (), texts=["The plan", " is to wait.", " is to mix."])
    rows = rows_of([plain], tiny_tokenizer(), CONFIG)
    assert rows.from_text == 1
    assert tiny_tokenizer().decode([*rows.rows[0].chosen_ids]) == " is to wait."


def test_lengths_are_capped_and_counted() -> None:
    long = pair("l", tuple(range(10, 30)), (5, 6, 7), (8, 9, 10, 11))
    rows = rows_of(
        [long, pair("s", (5,), (6,), (7,))], tiny_tokenizer(), replace(CONFIG, max_length=22)
    )
    assert (rows.rows[0].chosen_ids, rows.rows[0].rejected_ids, rows.cut) == ((5, 6), (8, 9), 1)
    short = replace(CONFIG, max_length=15)
    left = rows_of([long, pair("s", (5,), (6,), (7,))], tiny_tokenizer(), short).left_out
    assert left == {"whose prefix fills max_length (15)": 1}


def test_caps_count_from_the_divergence_on_in_whole_responses_too() -> None:
    """Counted from the response's start, short caps would leave both sides the shared words."""
    tokenizer = tiny_tokenizer()
    opening = tuple(tokenizer("<|im_start|>assistant\n", add_special_tokens=False)["input_ids"])
    one = pair("w", (30, 31, *opening, 40, 41), (50, 51, 52), (60, 61, 62))
    settings = replace(CONFIG, arm=Arm.WHOLE, first_tokens=2)
    (row,) = rows_of([one], tokenizer, settings).rows
    assert row.chosen_ids == (40, 41, 50, 51)
    assert row.rejected_ids == (40, 41, 60, 61)


def test_the_arms_on_whole_responses_need_a_chat_template() -> None:
    tokenizer = deepcopy(tiny_tokenizer())
    tokenizer.chat_template = None
    with pytest.raises(ValueError, match="has no chat template"):
        rows_of(id_pairs(2), tokenizer, replace(CONFIG, arm=Arm.WHOLE))


def test_the_order_is_fixed_and_each_epoch_holds_every_pair() -> None:
    lengths = [5, 50, 6, 51, 7, 52, 8]
    order = training_order(lengths, 2, 2, seed=1)
    assert sorted(order[:7]) == sorted(order[7:]) == list(range(7))
    assert order == training_order(lengths, 2, 2, seed=1) != training_order(lengths, 2, 2, seed=2)
    assert len(training_order(lengths, 2, 0.5, seed=1)) == 4
