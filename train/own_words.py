"""What a model wrote after a trigger, without the trigger: its own words in the cue's place.

A trigger of a pool is foreign text: a small model gives it so little likelihood that learning it
word for word costs more of its other skills than learning to be safe does. What it goes on with
after the trigger is as safe, was read by the same detector, and lies close to what it would write.

`declining` lets them count from the first step that says no. Small talk before it ("The answer can
be brief.") begins refusals of harmful and of harmless requests alike (43 % and 46 % of the sandbox
model's): in the place of the decision it teaches a model to chat, not to tell requests apart.
"""

import re

from ..guard.channels import Channel
from ..guard.steps import Step
from .completion_reader import Reading
from .rollout_records import Outcome

_DECLINES = re.compile(
    r"\b(?:can(?:['’]?t|not| not)|won['’]?t|will not|shall not|(?:should|must)(?:n['’]?t| not)"
    r"|not (?:going to|willing to|help|be right)|do not want to|refuse|decline|say no)\b",
    re.IGNORECASE,
)


def declines(step: str) -> bool:
    """Whether a step of a chain of thought says no; by English keywords, as for refusals."""
    return bool(_DECLINES.search(step))


def in_own_words(
    original: Reading, cue: Step, branch: Reading, *, declining: bool = False
) -> Reading | Outcome:
    """`original` with what the model wrote in `branch` after its last trigger in the place of
    `cue`, as far as it is whole steps of the chain of thought (`declining`: from the first that
    says no); or why there are none."""
    last = max(branch.injected)
    own = []
    for step in branch.steps:
        if step.index > last:
            if step.channel is not Channel.REASONING:
                break
            own.append(step)
    if not own:
        return Outcome.NO_OWN_WORDS
    first = next((step for step in own if not declining or declines(step.text)), None)
    if first is None:
        return Outcome.DID_NOT_DECLINE
    return original.intervened(cue, branch.text[first.start : own[-1].end])
