"""Thresholds of the answer and of tool calls, chosen on held-out answers and calls of their own.

An answer is read after its reasoning, so its beliefs begin where the reasoning left them. Where too
few harmless answers of a channel are held out to speak of one in a hundred, the reasoning's
threshold stands, and the card says so.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..guard.belief import Belief, BeliefWeights, after_step
from ..guard.channels import Channel
from ..guard.detector import Threshold, Thresholds
from ..guard.step_encoder import CUE, HARM, SAFETY
from .belief_fit import ScoredTrace
from .config import DistillConfig
from .labels import LabelledTrace
from .thresholds import AlarmLimit, threshold_for

MIN_HARMLESS = 40
"""Held-out harmless answers that a channel's own threshold needs at least."""

_GROUPS = ("harmless", "touchy", "safe", "harmful", "unknown")

_LOWEST = 0.3
"""No channel acts on less, however quiet its held-out answers are."""


@dataclass(frozen=True, slots=True)
class ChannelChoice:
    """One channel's threshold at a step's end, and what it rests on. Shares 0..1 or `None`."""

    channel: Channel
    end: float
    num_harmless: int
    """Held-out harmless answers; 0 where the reasoning's threshold was taken over."""

    harmless_interrupted: float | None
    num_safe: int
    """Held-out answers that decline a harmful request."""

    safe_interrupted: float | None
    num_harmful: int
    harmful_caught: float | None


def choose_channels(
    config: DistillConfig,
    traces: Sequence[LabelledTrace],
    scored: Sequence[ScoredTrace],
    weights: BeliefWeights,
    reasoning_end: float,
) -> list[ChannelChoice]:
    """The choice for the answer and for tool calls."""
    choices: list[ChannelChoice] = []
    for channel in (Channel.ANSWER, Channel.TOOL_CALL):
        groups: dict[str, list[float]] = {name: [] for name in _GROUPS}
        for trace, score in zip(traces, scored, strict=True):
            highest = highest_in_answer(weights, score)
            if trace.answer_channel is channel and highest is not None:
                groups[_group(config, trace)].append(highest)
        harmless = groups["harmless"]
        own = len(harmless) >= MIN_HARMLESS
        limits = [
            AlarmLimit("harmless", harmless, config.harmless_limit),
            AlarmLimit("touchy", groups["touchy"], config.touchy_limit),
            AlarmLimit("safe", groups["safe"], config.safe_limit),
        ]
        end = threshold_for(limits, lowest=_LOWEST) if own else reasoning_end
        choices.append(
            ChannelChoice(
                channel,
                end,
                len(harmless) if own else 0,
                _share_at(harmless, end),
                len(groups["safe"]),
                _share_at(groups["safe"], end),
                len(groups["harmful"]),
                _share_at(groups["harmful"], end),
            )
        )
    return choices


def thresholds_of(reasoning: Threshold, choices: Sequence[ChannelChoice]) -> Thresholds:
    """The detector's defaults: in every channel a score inside a step acts only when sure."""
    table = {
        choice.channel: Threshold(max(reasoning.inside, choice.end), choice.end)
        for choice in choices
    }
    return Thresholds(reasoning, table[Channel.ANSWER], table[Channel.TOOL_CALL])


def highest_in_answer(weights: BeliefWeights, scored: ScoredTrace) -> float | None:
    """The highest probability of the answer's first steps; `None` where it has none."""
    if scored.answer is None or not len(scored.answer):
        return None
    belief = Belief(scored.reading, evidence=0.0, going_along=0.0)
    found: list[float] = []
    for row in np.concatenate([scored.steps, scored.answer]):
        belief, probability = after_step(
            weights, belief, cue=float(row[CUE]), safety=float(row[SAFETY]), harm=float(row[HARM])
        )
        found.append(probability)
    return max(found[len(scored.steps) :])


def _group(config: DistillConfig, trace: LabelledTrace) -> str:
    if not trace.harmful:
        return "touchy" if trace.source in config.touchy_sources else "harmless"
    if trace.answer_harmful is not None:
        return "harmful" if trace.answer_harmful else "safe"
    # Deliberately safe traces decline in their answers too.
    return "safe" if trace.labels is None else "unknown"


def _share_at(highest: Sequence[float], threshold: float) -> float | None:
    return float(np.mean(np.array(highest) >= threshold)) if highest else None
