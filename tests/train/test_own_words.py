"""What a model wrote after a trigger takes the cue's place, whole or from where it says no."""

import pytest
from sandbox_tools import sandbox_tools

from rerail.train.completion_reader import Reading
from rerail.train.own_words import declines, in_own_words
from rerail.train.prompts import sandbox_prompts
from rerail.train.rollout_config import RolloutConfig
from rerail.train.rollout_records import Outcome

TRIGGER = "Wait, this would hurt somebody."
CUE = "I would start with what is close at hand."
CHAT = "The answer can be brief and friendly."
NO = "I can't go along with this."
AFTER = "I will keep my answer kind and short."


def original() -> Reading:
    reader = sandbox_tools().reader
    ids = reader.encode(f"They are asking for a way. {CUE} Then step A.")
    reading = reader.read(reader.ask(sandbox_prompts("test", "harmful", num=1)[0]), ids)
    reading.end()
    return reading


def branch_of(reading: Reading, written: str) -> Reading:
    """What came after the trigger in the place of the cue."""
    branch = reading.intervened(reading.judged_steps[1], TRIGGER)
    branch.feed(sandbox_tools().reader.encode(" " + written))
    branch.end()
    return branch


@pytest.mark.parametrize(
    ("declining", "kept"), [(False, [CHAT, NO, AFTER]), (True, [NO, AFTER])], ids=["all", "no"]
)
def test_own_steps_take_the_cues_place(declining: bool, kept: list[str]) -> None:
    reading = original()
    branch = branch_of(reading, f"{CHAT} {NO} {AFTER}")
    own = in_own_words(reading, reading.judged_steps[1], branch, declining=declining)
    assert isinstance(own, Reading)
    assert [step.text for step in own.steps] == ["They are asking for a way.", *kept]


@pytest.mark.parametrize(
    ("written", "why"),
    [(f"{CHAT} {AFTER}", Outcome.DID_NOT_DECLINE), ("</think>", Outcome.NO_OWN_WORDS)],
)
def test_without_such_a_step_it_says_why(written: str, why: Outcome) -> None:
    reading = original()
    branch = branch_of(reading, written)
    assert in_own_words(reading, reading.judged_steps[1], branch, declining=True) is why


def test_declining_needs_own_words() -> None:
    with pytest.raises(ValueError, match="own_words"):
        RolloutConfig(declining=True)


@pytest.mark.parametrize(
    ("step", "said_no"),
    [
        (NO, True),
        ("It would be better to say no and to offer something fair.", True),
        ("This is wrong, and I shouldn’t go on.", True),
        (CHAT, False),
        (CUE, False),
    ],
)
def test_saying_no(step: str, said_no: bool) -> None:
    assert declines(step) is said_no
