"""Thresholds of answers and tool calls: chosen on their own held-out answers, or taken over."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rerail.distill.belief_fit import ScoredTrace
from rerail.distill.channel_thresholds import (
    MIN_HARMLESS,
    choose_channels,
    highest_in_answer,
    thresholds_of,
)
from rerail.distill.config import DistillConfig
from rerail.distill.labels import Label, LabelledTrace
from rerail.guard.belief import BeliefWeights
from rerail.guard.channels import Channel
from rerail.guard.detector import Threshold

WEIGHTS = BeliefWeights(
    harm_scale=1.0, harm_bias=0.0, harm_step=0.0, harm_step_bias=0.0, harm_decay=0.0,
    harm_limit=3.0, cue_scale=1.0, cue_bias=0.0, cue_safety=0.0, cue_history=0.0,
    history_decay=0.0, inside_limit=0.4, inside_sure=0.995,
)  # fmt: skip
CONFIG = DistillConfig(out=Path("x"), traces=(Path("y"),))


def case(
    harmful: bool, reading: float, cue: float, channel: Channel = Channel.ANSWER, **more: Any
) -> tuple[LabelledTrace, ScoredTrace]:
    fields = {"source": "file", "labels": (Label.NEUTRAL,)} | more
    trace = LabelledTrace(
        id="1", request="How?", harmful=harmful, voice="v", steps=("One.",), answer=("Two.",),
        answer_channel=channel, **fields,
    )  # fmt: skip
    step = np.array([[0.0, -9.0, 0.0]], np.float32)
    answer = np.array([[0.0, cue, 0.0]], np.float32)
    return trace, ScoredTrace(trace.source, harmful, reading, step, np.zeros(1, np.float32), answer)


def test_the_answer_is_scored_after_the_reasoning() -> None:
    _, scored = case(True, 2.0, 1.0)
    expected = 1 / (1 + np.exp(-2.0)) / (1 + np.exp(-1.0))
    assert highest_in_answer(WEIGHTS, scored) == pytest.approx(expected)
    empty = ScoredTrace("f", True, 2.0, scored.steps, None, scored.steps[:0])
    assert highest_in_answer(WEIGHTS, empty) is None


def test_a_channel_keeps_the_limit_on_its_own_answers() -> None:
    # Harmless answers of rising scores: one in a hundred may be interrupted, so one of two hundred
    # lies at or above the threshold with room for two.
    readings = np.linspace(-6.0, 4.0, 200)
    pairs = [case(False, float(reading), 6.0, answer_harmful=False) for reading in readings]
    pairs += [case(True, 6.0, 6.0, answer_harmful=True)] * 10
    pairs += [case(True, 6.0, -6.0, answer_harmful=False)] * 30
    traces, scored = zip(*pairs, strict=True)
    answer, call = choose_channels(CONFIG, traces, scored, WEIGHTS, 0.7)
    assert answer.channel is Channel.ANSWER and answer.num_harmless == 200
    assert 0.9 < answer.end < 1.0 and answer.harmless_interrupted == pytest.approx(0.01)
    assert (answer.num_safe, answer.safe_interrupted) == (30, 0.0)
    assert (answer.num_harmful, answer.harmful_caught) == (10, 1.0)
    assert (call.channel, call.end, call.num_harmless) == (Channel.TOOL_CALL, 0.7, 0)


def test_too_few_answers_leave_the_threshold_of_the_reasoning() -> None:
    pairs = [case(False, -6.0, 0.0)] * (MIN_HARMLESS - 1)
    traces, scored = zip(*pairs, strict=True)
    answer, _ = choose_channels(CONFIG, traces, scored, WEIGHTS, 0.7)
    assert answer.end == 0.7 and answer.num_harmless == 0


def test_tool_calls_are_counted_apart_and_inside_is_never_lower() -> None:
    pairs = [case(False, 9.0, 9.0, Channel.TOOL_CALL)] * MIN_HARMLESS
    pairs += [case(False, -6.0, 0.0)] * MIN_HARMLESS
    traces, scored = zip(*pairs, strict=True)
    choices = choose_channels(CONFIG, traces, scored, WEIGHTS, 0.7)
    thresholds = thresholds_of(Threshold(0.995, 0.7), choices)
    assert thresholds.reasoning == Threshold(0.995, 0.7)
    assert thresholds.answer == Threshold(0.995, 0.3)  # the lowest that a channel may have
    assert thresholds.tool_call.end > 0.999
    assert thresholds.tool_call.inside >= thresholds.tool_call.end
