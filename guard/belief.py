"""What the student believes about a stream, and how each step changes it. Pure arithmetic.

A cue is a step that goes along with a harmful request, so two beliefs are kept apart and only
multiplied at the end: that the request is harmful (the reading of the conversation, moved by what
the reasoning says about it), and that the reasoning is going along with what was asked (moved by
every step). Learned jointly, a small model learns the voice of its training traces instead.
"""

import math
from dataclasses import dataclass, replace
from typing import NamedTuple


@dataclass(frozen=True, slots=True)
class BeliefWeights:
    """Fitted on held-out traces; all in log-odds unless said otherwise."""

    harm_scale: float
    harm_bias: float
    """Belief in harm = scale times the reading's log-odds + bias + gathered evidence."""

    harm_step: float
    """How much one step's log-odds of harm counts as evidence."""

    harm_step_bias: float
    """Log-odds of harm at which a step is no evidence either way."""

    harm_decay: float
    """What is kept of the evidence from one step to the next, 0..1."""

    harm_limit: float
    """Bound on the gathered evidence, so that no amount of talk overrules the request."""

    cue_scale: float
    cue_bias: float
    """Belief in a cue = scale times the log-odds of the step + bias, with what follows."""

    cue_safety: float
    """How much the step's log-odds of being a safety trigger count against it."""

    cue_history: float
    """How much it counts that the steps before went along (`going_along`, 0..1)."""

    history_decay: float
    """What is kept of `going_along` from one step to the next, 0..1."""

    inside_limit: float
    """Probability that a score inside a step, or of an unverified step, does not exceed ..."""

    inside_sure: float
    """... unless, inside a step, the screen's own reaches this."""


class Belief(NamedTuple):
    """What is believed about one stream, all in plain numbers."""

    reading: float
    """Log-odds that the conversation asks for harm, read once."""

    evidence: float
    """Log-odds gathered from the steps, -`harm_limit`..`harm_limit`."""

    going_along: float
    """Share of the recent steps that went along with the request, 0..1."""


def sigmoid(value: float) -> float:
    """The logistic function, safe at both ends."""
    if value >= 0:
        return 1.0 / (1.0 + math.exp(-min(value, 60.0)))
    power = math.exp(max(value, -60.0))
    return power / (1.0 + power)


_STEEPNESS = 4.0
"""Log-odds of harm count this much more than without a request level."""


def log_odds(probability: float) -> float:
    """The inverse of `sigmoid`; finite, since 0 and 1 are taken as next to them."""
    probability = min(max(probability, 1e-6), 1.0 - 1e-6)
    return math.log(probability / (1.0 - probability))


def with_request_level(weights: BeliefWeights, level: float, threshold: float) -> BeliefWeights:
    """Weights under which a request believed harmful at `level` just reaches `threshold`.

    What is doubted more falls far below it and what is surer comes close to 1, so that the
    threshold of steps may be low where the request is clear. Both are probabilities.
    """
    bias = log_odds(threshold) + _STEEPNESS * (weights.harm_bias - log_odds(level))
    return replace(weights, harm_scale=_STEEPNESS * weights.harm_scale, harm_bias=bias)


def harm_probability(weights: BeliefWeights, belief: Belief) -> float:
    """Probability that what is asked for is harmful, all read so far considered."""
    return sigmoid(weights.harm_scale * belief.reading + weights.harm_bias + belief.evidence)


def after_step(
    weights: BeliefWeights, belief: Belief, cue: float, safety: float, harm: float
) -> tuple[Belief, float]:
    """The belief after a verified step with these log-odds, and the step's probability (0..1)."""
    evidence = weights.harm_decay * belief.evidence + weights.harm_step * (
        harm - weights.harm_step_bias
    )
    evidence = min(max(evidence, -weights.harm_limit), weights.harm_limit)
    goes_along = sigmoid(
        weights.cue_scale * cue
        + weights.cue_bias
        - weights.cue_safety * safety
        + weights.cue_history * belief.going_along
    )
    history = (
        weights.history_decay * belief.going_along + (1.0 - weights.history_decay) * goes_along
    )
    belief = Belief(belief.reading, evidence, history)
    return belief, harm_probability(weights, belief) * goes_along


def inside_step(weights: BeliefWeights, harm: float, history: float, log_odds: float) -> float:
    """The probability of a step under way, of which only the screen knows.

    `harm` and `history` are what `screen_context` gave before the step; `log_odds` the screen's.
    """
    probability = harm * sigmoid(log_odds + history)
    if probability >= weights.inside_sure:
        return probability
    return min(probability, weights.inside_limit)


def screen_context(weights: BeliefWeights, belief: Belief) -> tuple[float, float]:
    """What is known before a step: the probability of harm, and the history's log-odds."""
    return harm_probability(weights, belief), weights.cue_history * belief.going_along


def after_screened_step(
    weights: BeliefWeights, belief: Belief, log_odds: float
) -> tuple[Belief, float]:
    """The same for a step that only the screen has read: capped, and no evidence of harm."""
    goes_along = sigmoid(log_odds + weights.cue_history * belief.going_along)
    history = (
        weights.history_decay * belief.going_along + (1.0 - weights.history_decay) * goes_along
    )
    belief = Belief(belief.reading, weights.harm_decay * belief.evidence, history)
    probability = harm_probability(weights, belief) * goes_along
    return belief, min(probability, weights.inside_limit)
