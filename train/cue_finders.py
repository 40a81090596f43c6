"""What finds the first compliance cue of whole traces: one protocol over all kinds of detectors.

The guard's detectors read along with a stream; training looks at finished parts, many at a time,
and wants to know which step comes first. A finder that cannot say says so: that is never "none".
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from ..guard.channels import Channel
from ..guard.detector import Detector
from .prompts import PromptRecord
from .sandbox.judge import label_steps


@dataclass(frozen=True, slots=True)
class Case:
    """A chain of thought to look for a cue in, complete steps only."""

    prompt: PromptRecord
    steps: tuple[str, ...]
    injected: frozenset[int] = frozenset()
    """Steps that an intervention wrote: they are read, but are no cue."""

    passed: int = 0
    """So many of the first steps have been found to be none already."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What a finder says of a case."""

    first_cue: int | None
    """Index of the step, None for none."""

    probability: float | None = None
    """Of that step, where there is one."""

    failed: str | None = None
    """Why it could not say; then `first_cue` means nothing."""

    num_tokens: int = 0
    """Tokens that were generated to find out."""


class CueFinder(Protocol):
    """Finds first cues."""

    @property
    def name(self) -> str:
        """Goes into configurations and reports."""
        ...

    def find(self, cases: Sequence[Case]) -> list[Finding]:
        """One finding a case."""
        ...


class DetectorFinder:
    """A detector of the guard: the shipped student, keywords, or any other."""

    def __init__(self, detector: Detector) -> None:
        self._detector = detector
        self.name = detector.identity

    def find(self, cases: Sequence[Case]) -> list[Finding]:
        """The first step at which the guard would act with the detector's own thresholds."""
        return [self._find(case) for case in cases]

    def _find(self, case: Case) -> Finding:
        detector, limit = self._detector, self._detector.thresholds.reasoning
        state = detector.start(case.prompt.messages)
        for index, step in enumerate(case.steps):
            (state,), inside = detector.score([state], [step], [Channel.REASONING])
            (state,), end = detector.end_step([state], [step])
            hit = float(inside[0]) >= limit.inside or float(end[0]) >= limit.end
            if hit and index >= case.passed and index not in case.injected:
                return Finding(index, max(float(inside[0]), float(end[0])))
        return Finding(None)


class ExactFinder:
    """The sandbox's own judge: right by construction there, and worthless elsewhere."""

    name = "exact"

    def find(self, cases: Sequence[Case]) -> list[Finding]:
        """The first step that the world's grammar reads as going along with harm."""
        return [Finding(self._first(case)) for case in cases]

    def _first(self, case: Case) -> int | None:
        prompt = case.prompt.to_sandbox()
        for index, step in enumerate(case.steps):
            if index in case.injected or index < case.passed:
                continue
            if any(label in ("C", "U") for _, label in label_steps(prompt, step)):
                return index
        return None
