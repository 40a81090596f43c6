"""Detectors for tests: real implementations of the protocol that decide by plain words."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from rerail.guard import Channel, Message, Thresholds
from rerail.guard.detector import Probabilities


@dataclass
class WordDetector:
    """Fires inside a step once it holds one of `inside`, and at its end on one of `at_end`."""

    inside: Sequence[str] = ()
    at_end: Sequence[str] = ()
    raise_on: str | None = None
    nan_on: str | None = None
    identity: str = "words@test"
    thresholds: Thresholds = field(default_factory=lambda: Thresholds.uniform(0.9, 0.5))
    started: list[Sequence[Message]] = field(default_factory=list)
    read: list[str] = field(default_factory=list)
    num_calls: int = 0

    def start(self, messages: Sequence[Message]) -> str:
        self.started.append(messages)
        return ""

    def score(
        self, states: Sequence[str], texts: Sequence[str], channels: Sequence[Channel]
    ) -> tuple[list[str], Probabilities]:
        self.num_calls += 1
        after = [state + text for state, text in zip(states, texts, strict=True)]
        self.read.extend(texts)
        if self.raise_on is not None and any(self.raise_on in text for text in after):
            raise RuntimeError(f"cannot read {self.raise_on!r}")
        return after, self._probabilities(after, self.inside, 0.95)

    def end_step(
        self, states: Sequence[str], steps: Sequence[str]
    ) -> tuple[list[str], Probabilities]:
        return ["" for _ in states], self._probabilities(steps, self.at_end, 0.6)

    def _probabilities(
        self, texts: Sequence[str], words: Sequence[str], hit: float
    ) -> Probabilities:
        values = [hit if any(word in text for word in words) else 0.1 for text in texts]
        if self.nan_on is not None:
            values = [
                float("nan") if self.nan_on in text else value
                for text, value in zip(texts, values, strict=True)
            ]
        return np.array(values, dtype=np.float32)


class ThirdStep:
    """Takes the third step of every stream for a cue, where the question asks for it."""

    identity = "third@test"
    thresholds = Thresholds.uniform(1.0, 0.5)

    def start(self, messages: Sequence[Message]) -> int:
        return 0 if "calmly" not in str(messages[-1]["content"]) else -1000

    def score(
        self, states: Sequence[int], texts: Sequence[str], channels: Sequence[Channel]
    ) -> tuple[list[int], Probabilities]:
        return list(states), np.zeros(len(states), dtype=np.float32)

    def end_step(
        self, states: Sequence[int], steps: Sequence[str]
    ) -> tuple[list[int], Probabilities]:
        found = np.array([state == 2 for state in states], dtype=np.float32)
        return [state + 1 for state in states], found
