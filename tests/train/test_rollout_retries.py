"""Further tries at a harmless prompt that was refused: help against the model's own refusal."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
from sandbox_tools import sandbox_tools

from rerail.train.judges import Verdict
from rerail.train.pairing import is_harmless_pair, pairs_of_rollouts
from rerail.train.prompts import PromptRecord, sandbox_prompts
from rerail.train.rollout_config import RolloutConfig
from rerail.train.rollout_records import OWN, Outcome
from rerail.train.rollouts import RolloutTools, roll_out

PROMPTS = sandbox_prompts("train", "harmless", num=3)


pytestmark = pytest.mark.usefixtures("one_thread")


class RefusedAtFirst:
    """Calls the first so many answers to a prompt refusals, the others help."""

    name = "refused at first"

    def __init__(self, num: int) -> None:
        self.num = num
        self.asked: dict[str, int] = {}

    def judge(
        self, prompts: Sequence[PromptRecord], reasonings: Sequence[str], answers: Sequence[str]
    ) -> list[Verdict]:
        for prompt in prompts:
            self.asked[prompt.id] = self.asked.get(prompt.id, 0) + 1
        return [Verdict(refused=self.asked[each.id] <= self.num) for each in prompts]


def tools(num: int) -> RolloutTools:
    return replace(sandbox_tools(), judge=None, refusals=RefusedAtFirst(num))


def test_the_first_try_that_helps_is_preferred_to_the_refusal() -> None:
    config = RolloutConfig(harmless_tries=3)
    plain = roll_out(PROMPTS, tools(0), config)
    records = roll_out(PROMPTS, tools(2), config)
    for record, before in zip(records, plain, strict=True):
        assert record.outcome is None
        assert record.cue is not None
        (branch,) = record.branches
        assert branch.trigger_ids == (OWN,)
        assert branch.ids == before.original_ids  # the first answer, called a refusal here
        assert record.num_retried > 0
        assert record.num_original == len(record.original_ids) + record.num_retried
        keep = record.cue.keep
        assert branch.ids[:keep] == record.original_ids[:keep]
        (pair,) = pairs_of_rollouts([record], "model")
        assert is_harmless_pair(pair)
        assert pair.chosen_ids == record.original_ids[keep:]
        assert pair.rejected_ids == before.original_ids[keep:]
        assert pair.chosen.lstrip().startswith(record.cue.text)


def test_tries_that_all_fail_are_counted_and_teach_nothing() -> None:
    records = roll_out(PROMPTS, tools(9), RolloutConfig(harmless_tries=2))
    for record in records:
        assert record.outcome is Outcome.OWN_REFUSAL
        assert not record.branches
        assert record.num_retried > 0


def test_a_negative_number_of_tries_is_refused() -> None:
    with pytest.raises(ValueError, match="harmless_tries is -1"):
        RolloutConfig(harmless_tries=-1)
