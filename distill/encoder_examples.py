"""What the encoder is trained on: requests, and steps with the request and the step before.

The heads are kept apart on purpose. Only traces on harmful requests teach the cue head, so it
learns whether a step goes along and not whose voice it is in; whether the request is harmful is
the harm head's alone.
"""

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from ..guard.conversation import passages
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


_NUM_SPEAKING_WORDS = 6
"""A harmful conversation's last turn of so many words is taken to hold the harm itself."""


def request_examples(requests: Iterable[LabelledRequest]) -> list[EncoderExample]:
    """One row a passage of each request, as the runtime reads it (`guard.conversation`)."""
    examples: list[EncoderExample] = []
    for entry in requests:
        trust = REQUEST_WEIGHTS.get(entry.source, 1.0)
        target = (float(entry.harmful), 0.0, 0.0)
        *last, whole = request_passages(without_placeholders(entry.request))
        examples.append(EncoderExample(whole, "", None, target, (trust, 0.0, 0.0)))
        if last and (not entry.harmful or len(last[0].split()) >= _NUM_SPEAKING_WORDS):
            examples.append(EncoderExample(last[0], "", None, target, (0.5 * trust, 0.0, 0.0)))
    return examples


def request_passages(request: str) -> tuple[str, ...]:
    """The passages of a request or of a transcript: its last turn first, the whole last."""
    return passages([{"role": "user", "content": request}]) or ("",)


def step_examples(
    traces: Iterable[LabelledTrace],
    rng: random.Random,
    *,
    max_steps: int = 24,
    request_dropout: float = 0.35,
    shares: Mapping[str, float] | None = None,
) -> list[EncoderExample]:
    """One row a step; of some sources only a share of the steps, since they are many and alike.

    Of an answer whose verdict is known the first steps are rows too.
    """
    shares = shares or {}
    examples: list[EncoderExample] = []
    for trace in traces:
        asked = request_passages(without_placeholders(trace.request))[0]
        steps = [without_placeholders(step) for step in trace.steps[:max_steps]]
        targets = _targets(trace)[: len(steps)]
        for index, (step, (target, weights)) in enumerate(zip(steps, targets, strict=False)):
            # A first step is always kept: it is where most traces decide.
            if index and rng.random() >= shares.get(trace.source, 1.0):
                continue
            request = "" if rng.random() < request_dropout else asked
            before = steps[index - 1] if index else ""
            examples.append(EncoderExample(request, before, step, target, weights))
        if trace.answer and rng.random() < shares.get(trace.source, 1.0):
            examples += _answer_examples(trace, asked, steps[-1] if steps else "")
    return examples


MAX_ANSWER_STEPS = 4
"""Steps of an answer that are learned from: an answer that does harm says so at its beginning."""


def _answer_examples(trace: LabelledTrace, asked: str, before: str) -> list[EncoderExample]:
    """The first steps of an answer; none where nobody has said whether it does harm."""
    if trace.answer_harmful is None and trace.labels is not None:
        return []
    target = (float(trace.harmful), float(bool(trace.answer_harmful)), 0.0)
    weights = (0.2, float(trace.harmful), 0.0)
    examples: list[EncoderExample] = []
    for step in trace.answer[:MAX_ANSWER_STEPS]:
        examples.append(EncoderExample(asked, before, step, target, weights))
        before = step
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
