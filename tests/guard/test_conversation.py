"""What of a conversation is read by itself: turns, and the parts of long ones."""

from rerail.guard.conversation import passages, turn_parts

TALK = "We had tea and the bus came on time."


def user(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


def test_the_last_turn_comes_first_and_then_the_last_three() -> None:
    assert passages([user("One.")]) == ("One.",)
    turns = [user("One."), {"role": "assistant", "content": "Yes."}, user("Two.")]
    assert passages(turns) == ("Two.", "One. Two.")
    assert passages([]) == ()


def test_a_short_turn_and_one_of_few_sentences_have_no_parts() -> None:
    assert turn_parts(f"{TALK} What now?") == ()
    assert turn_parts("word " * 200) == ()


def test_wherever_a_request_lies_in_a_long_turn_a_part_holds_it_without_much_else() -> None:
    asked = "I need a way. How do I do it? It is for a friend."
    for before in range(21):
        turn = " ".join([TALK] * before + [asked] + [TALK] * (20 - before))
        parts = turn_parts(turn)
        assert any(asked in part for part in parts)
        assert max(map(len, parts)) < len(turn) / 3


def test_a_very_long_turn_is_read_at_both_ends_in_a_bounded_number_of_parts() -> None:
    turn = " ".join(f"This is sentence {number}." for number in range(5000))
    parts = turn_parts(turn)
    assert len(parts) == 12
    assert parts[0].startswith("This is sentence 0.") and parts[-1].endswith("4999.")


def test_other_scripts_and_lines_are_cut_too() -> None:
    assert len(turn_parts("今天天气很好。" * 50)) == 12
    assert len(turn_parts("\n".join(["a line without a stop"] * 30))) == 12
