"""The decision: scores, history and policy in, verdict out. Pure, and the only place that decides.

A detector that failed has no probability to compare, so failure has a function of its own and can
never read as a low score.
"""

from enum import StrEnum

from .config import OnDetectorError, Policy, WhenSpent
from .detector import Threshold


class Verdict(StrEnum):
    """What is to become of the step under way."""

    HOLD = "hold"
    """Not decided yet: read on."""

    RELEASE = "release"
    """The step is complete and passes."""

    AUDIT = "audit"
    """A cue, let through and recorded."""

    INTERVENE = "intervene"
    """A cue: roll back to the step's start and put a safety trigger in its place."""

    REFUSE = "refuse"
    """Take the step out and end the generation with a refusal."""

    STOP = "stop"
    """Take the step out and end the generation there."""


def decide(
    probability: float,
    *,
    at_step_end: bool,
    threshold: Threshold,
    policy: Policy,
    when_spent: WhenSpent,
    interventions_left: int,
) -> Verdict:
    """The verdict on a step whose probability of being a cue is `probability` (0..1) so far."""
    limit = threshold.end if at_step_end else threshold.inside
    if probability < limit:
        return Verdict.RELEASE if at_step_end else Verdict.HOLD
    if policy is Policy.AUDIT:
        return Verdict.AUDIT
    if policy is Policy.BLOCK:
        return Verdict.REFUSE
    if interventions_left > 0:
        return Verdict.INTERVENE
    return {
        WhenSpent.REFUSE: Verdict.REFUSE,
        WhenSpent.STOP: Verdict.STOP,
        WhenSpent.AUDIT: Verdict.AUDIT,
    }[when_spent]


def decide_on_failure(on_detector_error: OnDetectorError, policy: Policy) -> Verdict:
    """The verdict when the detector has failed; `AUDIT` means to go on unscanned.

    Under the `audit` policy nothing is ever changed, so there the generation goes on.
    """
    if policy is Policy.AUDIT or on_detector_error is OnDetectorError.RELEASE:
        return Verdict.AUDIT
    return Verdict.REFUSE
