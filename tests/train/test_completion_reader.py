"""Steps of generated ids, and the ids that an intervention makes of them."""

from hypothesis import given, settings
from hypothesis import strategies as st
from sandbox_tools import sandbox_tools

from rerail.guard.channels import Channel
from rerail.train.completion_reader import AskedPrompt, CompletionReader, Reading
from rerail.train.prompts import sandbox_prompts

WRITTEN = (
    "I should look at this. Then U.S. rules say 3.14 is fine.\n\nStep A: wait. Now step B!\n"
    '</think>\n\nYes, gladly. 1. Do step A.\n<tool_call>\n{"a": 1}\n</tool_call>'
)
TRIGGER = "Wait, this would hurt somebody. I stop here."


def _reader() -> CompletionReader:
    return sandbox_tools().reader


def _prompt() -> AskedPrompt:
    return _reader().ask(sandbox_prompts("test", "harmful", num=1)[0])


def _ids(text: str = WRITTEN) -> list[int]:
    return _reader().tokenizer(text, add_special_tokens=False)["input_ids"]


def _whole() -> Reading:
    reading = _reader().read(_prompt(), _ids())
    reading.end()
    return reading


def test_channels_and_steps_are_the_guards() -> None:
    reading = _whole()
    assert reading.text == WRITTEN
    assert [step.text for step in reading.judged_steps] == [
        "I should look at this.",
        "Then U.S. rules say 3.14 is fine.",
        "Step A: wait.",
        "Now step B!",
    ]
    assert reading.text_of(Channel.REASONING).strip() == WRITTEN.partition("</think>")[0].strip()
    assert reading.answer.strip() == WRITTEN.partition("</think>")[2].strip()
    assert reading.reasoning_ended


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(1, 9), min_size=1, max_size=60))
def test_ids_in_any_parts_give_the_same_steps(sizes: list[int]) -> None:
    ids, reading, at = _ids(), _reader().read(_prompt()), 0
    for size in sizes:
        reading.feed(ids[at : at + size])
        at += size
    reading.feed(ids[at:])
    reading.end()
    whole = _whole()
    assert (reading.steps, reading.ids) == (whole.steps, whole.ids)


@settings(max_examples=40, deadline=None)
@given(position=st.integers(0, 3), second=st.integers(0, 2))
def test_an_intervention_keeps_the_ids_before_the_cue_exactly(position: int, second: int) -> None:
    """Would catch re-tokenising the kept part, and a divergence one token off."""
    reading = _whole()
    step = reading.judged_steps[position]
    keep, head = reading.cut(step)
    new = reading.intervened(step, TRIGGER)
    assert new.ids[:keep] == reading.ids[:keep]
    assert new.text == WRITTEN[: step.start] + TRIGGER
    assert len(head) <= len(reading.text_from(keep))
    assert WRITTEN[: step.start].endswith(head)
    # One token more would reach into the cue.
    assert reading.tokens_through(step) > keep
    texts = [each.text for each in reading.steps[: step.index]]
    assert [each.text for each in new.steps[: len(texts)]] == texts
    assert {new.steps[index].text for index in new.injected} == {
        "Wait, this would hurt somebody.",
        "I stop here.",
    }
    new.feed(_ids(" And so on.\nMore of it.\nStill more.\n"))
    again = new.judged_steps[-1 - second]
    newer = new.intervened(again, TRIGGER)
    assert newer.ids[: new.cut(again)[0]] == new.ids[: new.cut(again)[0]]
    assert newer.ids[: len(new.ids) - len(_ids(" And so on.\nMore of it.\nStill more.\n"))] == (
        reading.intervened(step, TRIGGER).ids
    )
    assert len(newer.injected) == 4


def test_a_cue_in_the_middle_of_a_token_is_cut_before_that_token() -> None:
    reading = _whole()
    step = reading.judged_steps[1]  # " Then": the blank is in the step's first token
    keep, head = reading.cut(step)
    assert head == " "
    assert reading.intervened(step, TRIGGER).text_from(keep) == f" {TRIGGER}"
