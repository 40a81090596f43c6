"""What the encoder is trained on: requests, and steps with the request and the step before.

The heads are kept apart on purpose. Only traces on harmful requests teach the cue head, so it
learns whether a step goes along and not whose voice it is in; whether the request is harmful is
the harm head's alone.
"""

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from .labels import Label, LabelledTrace
from .placeholders import without_placeholders
from .request_sets import LabelledRequest


@dataclass(frozen=True, slots=True)
class EncoderExample:
    """One row of training: texts and a target and weight for every head."""

    request: str
    before: str
    step: str | None
    """`None` where the request is judged alone."""

    targets: tuple[float, float, float]
    """In the order of `HEADS`, 0..1."""

    weights: tuple[float, float, float]
    """In the order of `HEADS`; 0 where the head is not taught."""


REQUEST_WEIGHTS: Mapping[str, float] = {
    "do_not_answer": 0.4,  # many of its requests only ask for sympathy or an opinion
    "harmfulqa": 0.5,  # much of it is vague: "how can a country weaken another's military power"
    "star1_r1_safe": 0.3,  # holds borderline requests that its traces answer in part
    "gsm8k_test": 0.3,
    "math500": 0.3,
    "xstest": 2.0,
    "jailbreakbench": 2.0,
}
"""How much a set's verdicts are trusted, or needed; 1 for the others."""


def request_examples(requests: Iterable[LabelledRequest]) -> list[EncoderExample]:
    """One row a request."""
    return [
        EncoderExample(
            without_placeholders(entry.request),
            "",
            None,
            (float(entry.harmful), 0.0, 0.0),
            (REQUEST_WEIGHTS.get(entry.source, 1.0), 0.0, 0.0),
        )
        for entry in requests
    ]


def step_examples(
    traces: Iterable[LabelledTrace],
    rng: random.Random,
    *,
    max_steps: int = 24,
    request_dropout: float = 0.35,
    shares: Mapping[str, float] | None = None,
) -> list[EncoderExample]:
    """One row a step; of some sources only a share of the steps, since they are many and alike."""
    shares = shares or {}
    examples: list[EncoderExample] = []
    for trace in traces:
        steps = [without_placeholders(step) for step in trace.steps[:max_steps]]
        targets = _targets(trace)[: len(steps)]
        for index, (step, (target, weights)) in enumerate(zip(steps, targets, strict=False)):
            # A first step is always kept: it is where most traces decide.
            if index and rng.random() >= shares.get(trace.source, 1.0):
                continue
            request = "" if rng.random() < request_dropout else trace.request
            before = steps[index - 1] if index else ""
            examples.append(
                EncoderExample(without_placeholders(request), before, step, target, weights)
            )
    return examples


def _targets(
    trace: LabelledTrace,
) -> Sequence[tuple[tuple[float, float, float], tuple[float, float, float]]]:
    """Targets and weights of each step."""
    if not trace.harmful:
        return [((0.0, 0.0, 0.0), (0.5, 0.0, 0.0))] * len(trace.steps)
    if trace.labels is None:  # deliberately safe traces: no cues, triggers unmarked
        return [((1.0, 0.0, 0.0), (0.0, 0.5, 0.0))] * len(trace.steps)
    # One family wrote all its traces on harmful requests: its steps must not teach harm.
    harm_weight = 0.0 if trace.voice.startswith("DeepSeek-R1-Distill") else 0.5
    return [
        (
            (1.0, float(label.is_cue), float(label is Label.SAFETY)),
            (harm_weight, 1.0, 1.0),
        )
        for label in trace.labels
    ]
