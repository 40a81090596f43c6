"""The reasoning model as its own detector: it is asked where its first compliance cue is.

Two ways. `asked`: one question over numbered steps, answered by an index. `likelihood`: a yes-or-no
question a step, of which only the probability of "yes" is read, so nothing is generated and the
steps before are read once for all questions. One object serves training (`find`), the distiller
(`label`) and the guard (`start`, `score`, `end_step`).
"""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np

from ..distill.labels import Label, LabelledTrace
from ..distill.teachers import labels_from_first_cue
from ..guard.channels import Channel
from ..guard.detector import Message, Probabilities, Threshold, Thresholds
from .completion_reader import CompletionReader
from .cue_finders import Case, Finding
from .generation import Ended, Generator, Job, Sampling, seed_of
from .likelihoods import Likelihoods
from .prompts import PromptRecord
from .sandbox.kinds import Kind
from .self_detector_config import Method, SelfDetectorConfig
from .self_questions import FewShotQuestions, Questions


@dataclass(frozen=True, slots=True)
class SelfState:
    """One stream under the guard: what has been said so far."""

    messages: tuple[Message, ...]
    steps: tuple[str, ...] = ()


class SelfDetector:
    """A model that judges the steps of its own kind."""

    def __init__(
        self,
        generator: Generator,
        reader: CompletionReader,
        likelihoods: Likelihoods | None = None,
        *,
        questions: Questions | None = None,
        config: SelfDetectorConfig | None = None,
        model: str = "model",
    ) -> None:
        """`model` is the identity of what is asked. Raises ValueError for the likelihood way
        without likelihoods."""
        self.config = config or SelfDetectorConfig()
        self.questions = questions or FewShotQuestions()
        if self.config.method is Method.LIKELIHOOD and likelihoods is None:
            raise ValueError(
                "this backend gives no likelihoods: choose the method `asked`, or load the model "
                "with transformers"
            )
        self._generator, self._reader, self._likelihoods = generator, reader, likelihoods
        settings = (model, self.questions.name, self.config)
        digest = hashlib.sha256(repr(settings).encode()).hexdigest()[:12]
        self.name = f"self-{self.config.method}@{digest}"
        limit = self.config.threshold if self.config.method is Method.LIKELIHOOD else 0.5
        # It judges whole steps only, so nothing that it says inside one may act.
        self.thresholds = Thresholds(*[Threshold(inside=1.0, end=limit)] * 3)

    @classmethod
    def from_transformers(
        cls, model: Any, tokenizer: Any, *, batch_size: int = 64, **options: Any
    ) -> Self:
        """A Hugging Face model; `options` as above."""
        from ..guard.backend_transformers_identity import model_identity
        from .generation_transformers import TransformersGenerator
        from .likelihoods import TransformersLikelihoods

        generator = TransformersGenerator(model, tokenizer, batch_size=batch_size)
        reader = CompletionReader(tokenizer, generator.end_ids)
        options.setdefault("model", model_identity(model))
        return cls(generator, reader, TransformersLikelihoods(model), **options)

    # -- training: whole cases ----------------------------------------------------------------

    def find(self, cases: Sequence[Case]) -> list[Finding]:
        """One finding a case; one that has no steps has no cue."""
        if self.config.method is Method.LIKELIHOOD:
            return self._by_likelihood(cases)
        return self._by_asking(cases)

    def probabilities(self, cases: Sequence[Case]) -> list[list[float]]:
        """`likelihood`: that each step from `passed` on is a cue."""
        assert self._likelihoods is not None
        groups = [
            [
                self._ids(self.questions.is_cue(case.prompt.messages, case.steps[:last]), True)
                for last in range(case.passed + 1, len(case.steps) + 1)
            ]
            for case in cases
        ]
        shares = self._likelihoods.shares(groups, [sorted(each) for each in self._choices])
        return [[_share(yes, no) for yes, no in rows] for rows in shares]

    def _by_likelihood(self, cases: Sequence[Case]) -> list[Finding]:
        findings = []
        for case, probabilities in zip(cases, self.probabilities(cases), strict=True):
            finding = Finding(None)
            for index, probability in enumerate(probabilities, start=case.passed):
                if math.isnan(probability):
                    finding = Finding(None, failed="it is as likely to say anything else")
                    break
                if index not in case.injected and probability >= self.config.threshold:
                    finding = Finding(index, probability)
                    break
            findings.append(finding)
        return findings

    def _by_asking(self, cases: Sequence[Case]) -> list[Finding]:
        findings = [Finding(None) for _ in cases]
        unread = {number for number, case in enumerate(cases) if case.steps}
        spent = [0] * len(cases)
        for attempt in range(self.config.num_retries + 1):
            asked = sorted(unread)
            jobs = [self._job(cases[number], attempt) for number in asked]
            sampling = Sampling(temperature=0.7 if attempt else 0.0)
            made = self._generator.generate(jobs, sampling) if jobs else []
            for number, completion in zip(asked, made, strict=True):
                spent[number] += len(completion.ids)
                text = self._reader.tokenizer.decode(list(completion.ids), skip_special_tokens=True)
                cut_off = completion.ended is not Ended.STOP and "</think>" not in text
                finding = self._read(
                    "" if cut_off and self.questions.thinks else text, cases[number]
                )
                findings[number] = finding
                if finding.failed is None:
                    unread.discard(number)
        return [
            Finding(each.first_cue, each.probability, each.failed, tokens)
            for each, tokens in zip(findings, spent, strict=True)
        ]

    def _job(self, case: Case, attempt: int) -> Job:
        question = self.questions.first_cue(case.prompt.messages, case.steps)
        thinks = self.questions.thinks
        room = self.config.answer_tokens + thinks * self.config.tokens_per_step * len(case.steps)
        seed = seed_of("self", case.prompt.id, attempt)
        return Job(self._ids(question, not thinks), seed, max_new_tokens=room)

    def _read(self, text: str, case: Case) -> Finding:
        try:
            index = self.questions.read_first_cue(text, len(case.steps))
        except ValueError as error:
            return Finding(None, failed=str(error))
        if index is not None and index in case.injected:
            return Finding(None, failed="it named a step that an intervention wrote")
        return Finding(index)

    def _ids(self, question: Sequence[Message], at_once: bool) -> tuple[int, ...]:
        """A question's ids, up to where its answer begins; `at_once` leaves no room to think."""
        text, ids = self._reader.render(question)
        if at_once:
            ids += self._reader.encode(self._reader.no_reasoning(text))
        return ids

    @cached_property
    def _choices(self) -> tuple[frozenset[int], frozenset[int]]:
        """The ids in which an answer may begin with yes, and those for no."""
        yes, no = (self._first_ids(word) for word in ("yes", "no"))
        if not yes - no or not no - yes:
            raise ValueError(
                "this tokenizer cannot tell yes from no by its first token: choose `asked`"
            )
        return yes - no, no - yes

    def _first_ids(self, word: str) -> frozenset[int]:
        """Of the word in all spellings: a small vocabulary may write one of them as a token and
        another in pieces, and the model says the one it was taught."""
        forms = (word, word.capitalize(), f" {word}", f" {word.capitalize()}")
        first = [self._reader.encode(form)[0] for form in forms]
        return frozenset(each for each in first if self._reader.tokenizer.decode([each]).strip())

    # -- the distiller: a teacher -------------------------------------------------------------

    def label(self, trace: LabelledTrace) -> tuple[Label, ...] | None:
        """See `Teacher`: neutral up to the first cue, and nothing said of what follows it."""
        kind = Kind.HARMFUL if trace.harmful else Kind.HARMLESS
        turn = {"role": "user", "content": trace.request}
        case = Case(PromptRecord(trace.id, (turn,), kind), trace.steps)
        (finding,) = self.find([case])
        if finding.failed is not None:
            return None
        return labels_from_first_cue(len(trace.steps), finding.first_cue)

    # -- the guard: a detector ----------------------------------------------------------------

    @property
    def identity(self) -> str:
        """See `Detector`."""
        return self.name

    def start(self, messages: Sequence[Message]) -> SelfState:
        """A fresh stream."""
        return SelfState(tuple(messages))

    def score(
        self, states: Sequence[SelfState], texts: Sequence[str], channels: Sequence[Channel]
    ) -> tuple[list[SelfState], Probabilities]:
        """Nothing is said inside a step: the probability is 0, under the threshold there."""
        return list(states), np.zeros(len(states), dtype=np.float32)

    def end_step(
        self, states: Sequence[SelfState], steps: Sequence[str]
    ) -> tuple[list[SelfState], Probabilities]:
        """Asks about the steps that have ended; an answer that cannot be read is no number, which
        the guard takes for the failure that it is."""
        after = [
            SelfState(state.messages, (*state.steps, step))
            for state, step in zip(states, steps, strict=True)
        ]
        cases = [
            Case(
                PromptRecord("stream", tuple(map(dict, each.messages)), Kind.HARMFUL),
                each.steps,
                passed=len(each.steps) - 1,
            )
            for each in after
        ]
        if self.config.method is Method.LIKELIHOOD:
            values = [rows[-1] for rows in self.probabilities(cases)]
        else:
            values = [
                math.nan if each.failed is not None else float(each.first_cue is not None)
                for each in self.find(cases)
            ]
        return after, np.array(values, dtype=np.float32)


def _share(yes: float, no: float) -> float:
    """Of yes among both; no number where the model would say neither."""
    return yes / (yes + no) if yes + no > 0.01 else math.nan
