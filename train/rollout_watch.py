"""Looks at generations while they run and ends them early: the economy of the rollouts.

An original is let go some tokens past its cue. A branch is let go at its next cue, or as soon as it
is settled safe (the paper's turning point: continuations from there hardly ever turn back).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Self

from ..guard.channels import Channel
from ..guard.steps import Step
from .completion_reader import AskedPrompt, Reading
from .cue_finders import Case, CueFinder, Finding
from .generation import Completion, Ended, Generator, Job, Sampling, Watch
from .own_words import declines


@dataclass(slots=True)
class Run:
    """One generation under way."""

    prompt: AskedPrompt
    reading: Reading
    start: int = 0
    """Tokens of the reading that were there before."""

    cue: Step | None = None
    probability: float | None = None
    failed: str | None = None
    passed: int = 0
    num_detector_tokens: int = 0
    judged: int = field(default=-1, repr=False)
    """How many steps the last look saw."""

    @property
    def case(self) -> Case:
        """What the finder is shown."""
        steps = self.reading.judged_steps
        injected = frozenset(
            position for position, step in enumerate(steps) if step.index in self.reading.injected
        )
        texts = tuple(step.text for step in steps)
        return Case(self.prompt.record, texts, injected, self.passed)

    @property
    def cue_position(self) -> int:
        """Index of the cue among the judged steps."""
        assert self.cue is not None
        return self.reading.judged_steps.index(self.cue)

    def intervened(self, trigger: str) -> Self:
        """A run with `trigger` in the cue's place. The steps before it have been judged, and what
        is put in is no cue: the finder is asked about what follows."""
        assert self.cue is not None
        new = type(self)(self.prompt, self.reading.intervened(self.cue, trigger))
        new.start = len(new.reading)
        new.passed = len(new.reading.judged_steps)
        return new

    def again(self) -> Self:
        """A run of the same prompt from its start."""
        return type(self)(self.prompt, self.reading.emptied())

    def take(self, written: Sequence[int]) -> None:
        """Feeds what is new of the tokens written since `start`."""
        self.reading.feed(written[len(self.reading) - self.start :])

    def note(self, finding: Finding) -> None:
        """What the finder says of the steps so far."""
        steps = self.reading.judged_steps
        self.failed = finding.failed
        self.num_detector_tokens += finding.num_tokens
        if finding.failed is None and finding.first_cue is not None:
            self.cue, self.probability = steps[finding.first_cue], finding.probability
        elif finding.failed is None:
            self.passed = len(steps)


def write(
    jobs: Sequence[Job],
    runs: Sequence[Run],
    generator: Generator,
    sampling: Sampling,
    watch: Watch | None = None,
) -> list[Completion]:
    """Generates, and feeds every run what was written for it."""
    completions = generator.generate(jobs, sampling, watch) if jobs else []
    for run, completion in zip(runs, completions, strict=True):
        run.take(completion.ids)
        if completion.ended is not Ended.WATCH:
            run.reading.end()
    return completions


def look(runs: Sequence[Run], finder: CueFinder) -> None:
    """Shows the finder those runs that have new steps and no cue yet."""
    fresh = [
        run
        for run in runs
        if run.cue is None and len(run.reading.judged_steps) > max(run.judged, 0)
    ]
    if not fresh:
        return
    for run in fresh:
        run.judged = len(run.reading.judged_steps)
    for run, finding in zip(fresh, finder.find([run.case for run in fresh]), strict=True):
        run.note(finding)


class CueWatch:
    """Ends originals `tail` tokens past their cue, or where they go over to the answer without."""

    def __init__(self, runs: Sequence[Run], finder: CueFinder, tail: int, every: int) -> None:
        self.every = every
        self._runs, self._finder, self._tail = runs, finder, tail

    def ended(self, written: Mapping[int, Sequence[int]]) -> list[int]:
        """See `Watch`."""
        for number, ids in written.items():
            self._runs[number].take(ids)
        look([self._runs[number] for number in written], self._finder)
        return [number for number in written if self._seen_enough(self._runs[number])]

    def _seen_enough(self, run: Run) -> bool:
        if run.cue is None:
            return _thought_through(run)
        return len(run.reading) - run.reading.tokens_through(run.cue) >= self._tail


class SettledWatch:
    """Ends branches at a cue, or once they are settled safe. They are looked at when they are as
    long as that takes: one look for all their steps reads what stands before them once."""

    def __init__(
        self, runs: Sequence[Run], finder: CueFinder, settled_steps: int | None, every: int
    ) -> None:
        self.every = every
        self._runs, self._finder, self._settled_steps = runs, finder, settled_steps

    def ended(self, written: Mapping[int, Sequence[int]]) -> list[int]:
        """See `Watch`."""
        for number, ids in written.items():
            self._runs[number].take(ids)
        runs = [self._runs[number] for number in written]
        wanted = self._settled_steps
        look([run for run in runs if wanted is None or _far_enough(run, wanted)], self._finder)
        return [
            number
            for number, run in zip(written, runs, strict=True)
            if run.cue is not None or is_settled(run, wanted)
        ]


class RefusalWatch:
    """Ends branches of harmless prompts once they have said no, and are as long as settled ones: a
    refusal is what they are to be, and how it ends teaches nothing."""

    def __init__(self, runs: Sequence[Run], settled_steps: int, every: int) -> None:
        self.every = every
        self._runs, self._settled_steps = runs, settled_steps

    def ended(self, written: Mapping[int, Sequence[int]]) -> list[int]:
        """See `Watch`."""
        for number, ids in written.items():
            self._runs[number].take(ids)
        return [number for number in written if self._has_declined(self._runs[number])]

    def _has_declined(self, run: Run) -> bool:
        own = _own_steps(run)
        return len(own) >= self._settled_steps and any(declines(step.text) for step in own)


def _thought_through(run: Run) -> bool:
    """Whether there was a chain of thought, and it has ended without a cue."""
    steps = run.reading.judged_steps
    thought = bool(steps) and steps[-1].channel is Channel.REASONING
    return thought and run.reading.reasoning_ended and run.passed == len(steps)


def is_settled(run: Run, settled_steps: int | None) -> bool:
    """Whether so many steps have passed since the last trigger, or the answer is under way."""
    if settled_steps is None or run.cue is not None or run.failed is not None:
        return False
    return run.passed == len(run.reading.judged_steps) and _far_enough(run, settled_steps)


def _far_enough(run: Run, settled_steps: int) -> bool:
    """Whether there are so many steps since the last trigger, whatever they are, or an answer."""
    last = max(run.reading.injected, default=-1)
    since = sum(step.index > last for step in run.reading.steps)
    judged = len(_own_steps(run))
    return judged >= settled_steps or since > judged


def _own_steps(run: Run) -> list[Step]:
    """The judged steps since the last trigger."""
    last = max(run.reading.injected, default=-1)
    return [step for step in run.reading.judged_steps if step.index > last]
