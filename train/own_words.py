"""What a model wrote after a trigger, without the trigger: its own words in the cue's place.

A trigger of a pool is foreign text: a small model gives it so little likelihood that learning it
word for word costs more of its other skills than learning to be safe does. What it goes on with
after the trigger is as safe, was read by the same detector, and lies close to what it would write.
"""

from ..guard.channels import Channel
from ..guard.steps import Step
from .completion_reader import Reading


def in_own_words(original: Reading, cue: Step, branch: Reading) -> Reading | None:
    """`original` with what the model wrote in `branch` after its last trigger in the place of
    `cue`, as far as it is whole steps of the chain of thought; None where it wrote no such step."""
    last = max(branch.injected)
    own = []
    for step in branch.steps:
        if step.index > last:
            if step.channel is not Channel.REASONING:
                break
            own.append(step)
    if not own:
        return None
    return original.intervened(cue, branch.text[own[0].start : own[-1].end])
