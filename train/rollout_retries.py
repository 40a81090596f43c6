"""Another try at a harmless prompt that the model has refused: its help against its own refusal.

A trigger put into a good answer teaches to keep what the model does already. What it has to unlearn
are the refusals that it writes by itself, and it gets more of those with every round. No trigger is
needed then: both sides are its own.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ..guard.shared_start import num_shared
from .generation import Completion, Generator, Job
from .judges import Judge
from .rollout_config import RolloutConfig
from .rollout_records import OWN, BranchRecord, Cue, Outcome, RolloutRecord
from .rollout_verdicts import fault_of_answer, verdicts_of
from .rollout_watch import Run, write


@dataclass(frozen=True, slots=True)
class Retried:
    """A prompt's refusal, and what further tries gave."""

    refusal: Run
    refused: Completion
    helpful: Run | None
    """The first that helps; None where none did."""

    answered: Completion
    num_lost: int
    """Tokens of the tries that helped no more than the first."""


def retry(
    runs: Sequence[Run],
    originals: Sequence[Completion],
    generator: Generator,
    judges: tuple[Judge | None, Judge],
    config: RolloutConfig,
) -> list[Retried]:
    """Up to `harmless_tries` further tries for each run, all of them refusals. `judges` as
    `verdicts_of` takes them."""
    found = [
        Retried(run, original, None, original, 0)
        for run, original in zip(runs, originals, strict=True)
    ]
    for attempt in range(1, config.harmless_tries + 1):
        waiting = [number for number, each in enumerate(found) if each.helpful is None]
        tries = [runs[number].again() for number in waiting]
        jobs = [
            Job(each.prompt.ids, each.prompt.seed("original", config.seed, attempt))
            for each in tries
        ]
        made = write(jobs, tries, generator, config.sampling)
        verdicts = verdicts_of(tries, *judges)
        for number, each, completion, verdict in zip(waiting, tries, made, verdicts, strict=True):
            before = found[number]
            if fault_of_answer(each, completion, verdict) is None:
                found[number] = replace(before, helpful=each, answered=completion)
            else:
                found[number] = replace(before, num_lost=before.num_lost + len(completion.ids))
    return found


def with_retry(record: RolloutRecord, pair: Retried) -> RolloutRecord:
    """The record of a refused prompt, with what came of it: as of any harmless prompt the answer is
    the original, and the refusal its branch."""
    if pair.helpful is None:
        return replace(record, num_retried=pair.num_lost)
    helpful, refusal = pair.helpful.reading, pair.refusal.reading
    shared = num_shared(helpful.ids, refusal.ids)
    steps = helpful.judged_steps
    # They part within a step: what both have of it counts on both sides, and so not at all.
    position = max(
        (number for number, step in enumerate(steps) if helpful.cut(step)[0] <= shared), default=0
    )
    keep = min(helpful.cut(steps[position])[0], shared)
    branch = BranchRecord(
        trigger_ids=(OWN,),
        ids=refusal.ids,
        text=refusal.text_from(keep),
        ended=pair.refused.ended,
        outcome=Outcome.ACCEPTED,
        num_sampled=len(pair.refused.ids),
        num_injected=0,
    )
    return replace(
        record,
        original_ids=pair.answered.ids,
        original_text=helpful.text,
        original_ended=pair.answered.ended,
        rejected_text=helpful.text_from(keep),
        cue=Cue(position, steps[position].text, keep),
        outcome=None,
        branches=(branch,),
        num_retried=pair.num_lost,
    )
