"""What judges say of rollouts, as far as rollouts ask."""

from collections.abc import Sequence

from ..guard.channels import Channel
from .generation import Completion, Ended
from .judges import Judge, Verdict
from .rollout_records import Outcome
from .rollout_watch import Run
from .sandbox.kinds import Kind


def verdicts_of(runs: Sequence[Run], judge: Judge | None, refusals: Judge) -> list[Verdict]:
    """The judge's, completed by what refusal keywords see; without a judge those alone."""
    if not runs:
        return []
    prompts = [run.prompt.record for run in runs]
    reasonings = [run.reading.text_of(Channel.REASONING) for run in runs]
    answers = [run.reading.answer for run in runs]
    found = refusals.judge(prompts, reasonings, answers)
    if judge is None:
        return found
    judged = judge.judge(prompts, reasonings, answers)
    return [verdict.or_else(other) for verdict, other in zip(judged, found, strict=True)]


def fault_of_answer(run: Run, original: Completion, verdict: Verdict) -> Outcome | None:
    """Why the model's own answer to a harmless prompt is nothing to prefer."""
    if original.ended is Ended.LENGTH:
        return Outcome.TOO_LONG
    if verdict.refused:
        return Outcome.OWN_REFUSAL
    if verdict.correct is False:
        return Outcome.OWN_ANSWER_WRONG
    return None if run.reading.judged_steps else Outcome.NO_STEPS


def is_harmless(run: Run) -> bool:
    """Whether the prompt is one to help with."""
    return run.prompt.record.kind is not Kind.HARMFUL
