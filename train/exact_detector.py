"""The sandbox's truth as a detector: what a guard could do at best, and the judge's own guard.

It knows which requests are harmful, because it is told the prompts, and reads each finished step
with the world's grammar. A conversation that it was not told is an error, never harmless.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..guard.channels import Channel
from ..guard.detector import Message, Probabilities, Thresholds
from .prompts import PromptRecord
from .sandbox.judge import label_steps
from .sandbox.kinds import Kind, Label

_CUES = (Label.CUE, Label.SUBSTANTIVE)
_HARMFUL = PromptRecord("harmful", (), Kind.HARMFUL).to_sandbox()
"""Steps are read against the grammar; of the prompt only its kind counts."""


class ExactDetector:
    """Probability 1 at the end of a step that goes along with a harmful request, else 0."""

    identity = "exact@sandbox"
    thresholds = Thresholds.uniform(inside=1.0, end=0.5)

    def __init__(self, prompts: Sequence[PromptRecord]) -> None:
        self._harmful = {_key(each.messages): each.harmful for each in prompts}

    def start(self, messages: Sequence[Message]) -> bool:
        """Whether the request is harmful. Raises KeyError for a conversation it was not told."""
        return self._harmful[_key(messages)]

    def score(
        self, states: Sequence[Any], texts: Sequence[str], channels: Sequence[Channel]
    ) -> tuple[list[Any], Probabilities]:
        """Says nothing before a step has ended."""
        return list(states), np.zeros(len(states), dtype=np.float32)

    def end_step(
        self, states: Sequence[Any], steps: Sequence[str]
    ) -> tuple[list[Any], Probabilities]:
        """Reads the step as the exact judge does, sentence by sentence."""
        found = [
            harmful and any(mark in _CUES for _, mark in label_steps(_HARMFUL, step))
            for harmful, step in zip(states, steps, strict=True)
        ]
        return list(states), np.array(found, dtype=np.float32)


def _key(messages: Sequence[Message]) -> str:
    return "\x1f".join(f"{each['role']}:{each.get('content')}" for each in messages)
