"""One regeneration under way, and what is kept of it: the branch of a prompt's original."""

from collections.abc import Sequence
from dataclasses import dataclass

from ..guard.triggers import Trigger
from .completion_reader import Reading
from .generation import Completion, Ended
from .own_words import in_own_words
from .rollout_config import RolloutConfig
from .rollout_records import BranchRecord, Cue, Outcome, RolloutRecord
from .rollout_watch import Run


@dataclass(slots=True)
class BranchRun:
    """One regeneration under way."""

    owner: Run
    cue: Cue
    triggers: list[Trigger]
    run: Run
    used: list[str]
    num_sampled: int = 0
    ended: Ended = Ended.LENGTH
    outcome: Outcome | None = None
    number: int = 0
    first_trigger: str = ""


def take_triggers_out(branches: Sequence[BranchRun], *, declining: bool) -> None:
    """Accepted branches become what the model wrote after their last trigger."""
    seen: set[tuple[int, tuple[int, ...]]] = set()
    for branch in branches:
        if branch.outcome is not Outcome.ACCEPTED:
            continue
        assert branch.owner.cue is not None
        own = in_own_words(
            branch.owner.reading, branch.owner.cue, branch.run.reading, declining=declining
        )
        if isinstance(own, Outcome):
            branch.outcome = own
            continue
        branch.run.reading = own
        if (identity := (id(branch.owner), own.ids)) in seen:
            branch.outcome = Outcome.REPEATED
        seen.add(identity)


def rollout_record(
    run: Run,
    original: Completion,
    outcome: Outcome | None,
    branches: Sequence[BranchRun],
    config: RolloutConfig,
) -> RolloutRecord:
    """The record of a prompt: its trace, the cue found in it, and how every branch ended."""
    detector_tokens = run.num_detector_tokens + sum(
        each.run.num_detector_tokens for each in branches
    )
    cue = branches[0].cue if branches else None
    return RolloutRecord(
        prompt=run.prompt.record,
        prompt_text=run.prompt.text,
        prompt_ids=run.prompt.ids,
        seed=config.seed,
        original_ids=original.ids,
        original_text=run.reading.text,
        original_ended=original.ended,
        rejected_text=run.reading.text_from(cue.keep) if cue else "",
        cue=cue,
        outcome=outcome,
        branches=tuple(map(_branch_record, branches)),
        num_detector_tokens=detector_tokens,
    )


def _branch_record(branch: BranchRun) -> BranchRecord:
    reading: Reading = branch.run.reading
    assert branch.outcome is not None
    return BranchRecord(
        trigger_ids=tuple(branch.used),
        ids=reading.ids,
        text=reading.text_from(branch.cue.keep),
        ended=branch.ended,
        outcome=branch.outcome,
        num_sampled=branch.num_sampled,
        num_injected=reading.num_injected,
        first_trigger=branch.first_trigger,
    )
