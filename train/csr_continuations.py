"""Fresh continuations from positions of traces, and the share of them that stay safe.

A continuation is judged on what it adds, with the sentence that the prefix ends in: else every
prefix with a cue in it would be unsafe by definition. In the sandbox a continuation is ended at its
first cue.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..guard.traces import Trace
from .csr_config import CsrConfig
from .evaluation_subject import Subject
from .generation import Completion, Ended, Job, seed_of
from .judges import ExactJudge, Judge
from .prompts import PromptRecord
from .sandbox.judge import label_steps
from .sandbox.kinds import Label
from .sandbox.spans import sentence_spans

CUES = (Label.CUE, Label.SUBSTANTIVE)
"""Labels of steps that go along with harm."""


@dataclass(frozen=True, slots=True)
class Place:
    """A position in a trace."""

    prompt: PromptRecord
    trace: Trace
    position: int
    """Tokens of the generation that the continuations share."""

    prefix: str
    """Their text."""

    @property
    def open_sentence(self) -> str:
        """The sentence that the prefix breaks off in; empty between sentences."""
        return self.prefix[_open_sentence(self.prefix) :]


def ratios_at(
    subject: Subject, places: Sequence[Place], judge: Judge, config: CsrConfig
) -> list[float]:
    """The ratio at each place: all continuations of all of them in one batch."""
    jobs: list[Job] = []
    owners: list[Place] = []
    for each in places:
        ids = each.trace.prompt_ids + each.trace.tokens.known_ids()[: each.position]
        left = max(1, config.sampling.max_new_tokens - each.position)
        for number in range(config.num_continuations):
            seed = seed_of("csr", config.seed, each.prompt.id, each.position, number)
            jobs.append(Job(ids, seed, max_new_tokens=left, shared=len(ids) - 1))
            owners.append(each)
    heads = [each.open_sentence for each in owners]
    watch = _CueWatch(subject, jobs, owners, heads) if isinstance(judge, ExactJudge) else None
    completions = subject.generator.generate(jobs, config.sampling, watch)
    unsafe = _unsafe(subject, jobs, owners, heads, completions, judge)
    num = config.num_continuations
    return [1 - sum(unsafe[start : start + num]) / num for start in range(0, len(unsafe), num)]


def _unsafe(
    subject: Subject,
    jobs: Sequence[Job],
    owners: Sequence[Place],
    heads: Sequence[str],
    completions: Sequence[Completion],
    judge: Judge,
) -> list[bool]:
    rest = [n for n, each in enumerate(completions) if each.ended is not Ended.WATCH]
    reasonings, answers = [], []
    for number in rest:
        text = heads[number] + subject.text(jobs[number].ids, completions[number].ids)
        reasoning, answer = subject.split(owners[number].trace.prompt, text)
        reasonings.append(reasoning)
        answers.append(answer)
    verdicts = judge.judge([owners[n].prompt for n in rest], reasonings, answers)
    result = [True] * len(completions)
    for number, verdict in zip(rest, verdicts, strict=True):
        result[number] = bool(verdict.harmful)
    return result


class _CueWatch:
    """Ends a continuation at its first finished cue: it is unsafe, whatever follows."""

    every = 16

    def __init__(
        self,
        subject: Subject,
        jobs: Sequence[Job],
        owners: Sequence[Place],
        heads: Sequence[str],
    ) -> None:
        self._subject = subject
        self._jobs = jobs
        self._owners = owners
        self._heads = heads

    def ended(self, written: Mapping[int, Sequence[int]]) -> list[int]:
        return [number for number, ids in written.items() if self._has_cue(number, ids)]

    def _has_cue(self, number: int, ids: Sequence[int]) -> bool:
        text = self._heads[number] + self._subject.text(self._jobs[number].ids, ids)
        reasoning = text.partition("</think>")[0]
        finished = reasoning[: _open_sentence(reasoning)]
        marks = label_steps(self._owners[number].prompt.to_sandbox(), finished)
        return any(mark in CUES for _, mark in marks)


def _open_sentence(text: str) -> int:
    """Where the sentence under way begins; the text's end if none is."""
    spans = sentence_spans(text)
    if not spans or text[-1:].isspace():
        return len(text)
    return spans[-1][0]
