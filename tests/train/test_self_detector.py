"""The model as its own detector: readings of answers, likelihoods, and the three uses."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from sandbox_tools import sandbox_tools

from rerail.distill.labels import Label, LabelledTrace
from rerail.guard.channels import Channel
from rerail.guard.guard import Guard
from rerail.train.cue_finders import Case, Finding
from rerail.train.generation import Completion, Ended, Job, Sampling, Watch
from rerail.train.generation_transformers import TransformersGenerator
from rerail.train.likelihoods import Rows, TransformersLikelihoods, common_head
from rerail.train.prompts import sandbox_prompts
from rerail.train.self_agreement import agreement, sandbox_cases
from rerail.train.self_detector import SelfDetector
from rerail.train.self_detector_config import Method, SelfDetectorConfig
from rerail.train.self_questions import FewShotQuestions, SandboxQuestions

STEPS = ("It is about a thing.", "I plan the harm.", "Step A comes first.")


class Writes:
    """A generator that writes given answers in turn."""

    def __init__(self, *answers: str) -> None:
        self.answers = list(answers)
        self.jobs: list[Job] = []

    def generate(
        self, jobs: Sequence[Job], sampling: Sampling, watch: Watch | None = None
    ) -> list[Completion]:
        self.jobs += jobs
        encode = sandbox_tools().reader.encode
        return [Completion(encode(self.answers.pop(0)), Ended.STOP) for _ in jobs]


class Likes:
    """Likelihoods of yes by the number of questions about the same steps."""

    def __init__(self, *yes: float) -> None:
        self.yes = yes
        self.groups: list[list[tuple[int, ...]]] = []

    def shares(
        self, groups: Sequence[Rows], choices: Sequence[Sequence[int]]
    ) -> list[list[tuple[float, ...]]]:
        self.groups += [list(group) for group in groups]
        return [[(self.yes[n], 1 - self.yes[n]) for n in range(len(group))] for group in groups]


def _case(passed: int = 0, injected: frozenset[int] = frozenset()) -> Case:
    return Case(sandbox_prompts("test", "harmful", num=1)[0], STEPS, injected, passed)


def _asked(*answers: str, **settings: int) -> SelfDetector:
    config = SelfDetectorConfig(method=Method.ASKED, **settings)
    return SelfDetector(
        Writes(*answers), sandbox_tools().reader, questions=SandboxQuestions(), config=config
    )


def _likely(*yes: float) -> SelfDetector:
    return SelfDetector(Writes(), sandbox_tools().reader, Likes(*yes), questions=SandboxQuestions())


@pytest.mark.parametrize(
    ("answer", "index"),
    [
        ("2", 1),
        ("none", None),
        ("0", None),
        ("Step 3.", 2),
        ("**2**", 1),
        ("The first such step is #2.", 1),
        ("There is no such step.", None),
        ("Steps 1 and 3 are fine at first sight.\nFirst such step: 2", 1),
        ("It might be 1, or 2.\nnone", None),
        ("<think>maybe 1 or 3</think>\n\n2", 1),
    ],
)
def test_answers_in_words_are_read(answer: str, index: int | None) -> None:
    assert FewShotQuestions().read_first_cue(answer, 3) == index


@pytest.mark.parametrize("answer", ["", "I cannot say.", "4", "-1", "1 or 2", "2.5", "50%"])
def test_answers_that_name_no_one_step_are_no_answer(answer: str) -> None:
    """Would catch an unreadable answer that passes for "none", or a number read out of another."""
    with pytest.raises(ValueError, match="answer"):
        FewShotQuestions().read_first_cue(answer, 3)


def test_asked_it_names_the_step_and_what_it_cost() -> None:
    detector = _asked("1 no\n2 yes\n</think>\n\n2", "1 no\n2 no\n3 no\n</think>\n\n0")
    found = detector.find([_case(), _case()])
    assert [each.first_cue for each in found] == [1, None]
    assert all(each.num_tokens > 3 and each.failed is None for each in found)


def test_asked_in_vain_it_is_asked_again_and_then_says_so() -> None:
    assert _asked("hm", "1 no\n</think>\n\n0").find([_case()])[0].failed is None
    (finding,) = _asked("hm", "9").find([_case()])
    assert finding.failed is not None and "no step number" in finding.failed
    (finding,) = _asked("2", "2").find([_case(injected=frozenset({1}))])
    assert finding.failed is not None and "intervention" in finding.failed


def test_by_likelihood_the_first_step_above_the_threshold_counts() -> None:
    (finding,) = _likely(0.2, 0.7, 0.9).find([_case()])
    assert finding.first_cue == 1 and finding.probability == pytest.approx(0.7)
    assert _likely(0.2, 0.3, 0.4).find([_case()])[0] == Finding(None)
    assert _likely(0.2, 0.7, 0.9).find([_case(injected=frozenset({1}))])[0].first_cue == 2
    # Steps that have been passed are not asked about again.
    detector = _likely(0.9)
    assert detector.find([_case(passed=2)])[0].first_cue == 2


def test_a_model_that_says_neither_yes_nor_no_has_failed() -> None:
    class Neither(Likes):
        def shares(
            self, groups: Sequence[Rows], choices: Sequence[Sequence[int]]
        ) -> list[list[tuple[float, ...]]]:
            return [[(0.001, 0.001)] * len(group) for group in groups]

    detector = SelfDetector(Writes(), sandbox_tools().reader, Neither())
    assert detector.find([_case()])[0].failed is not None
    _, values = detector.end_step([detector.start([{"role": "user", "content": "x"}])], ["a"])
    assert np.isnan(values[0])


def test_questions_about_the_same_steps_share_their_beginning() -> None:
    likes = Likes(0.1, 0.1, 0.1)
    SelfDetector(Writes(), sandbox_tools().reader, likes, questions=SandboxQuestions()).find(
        [_case()]
    )
    (group,) = likes.groups
    head = common_head(group)
    assert len(head) > len(group[0]) // 2
    assert group[-1][: len(head)] == head


def test_likelihoods_are_those_of_each_row_alone() -> None:
    generator = sandbox_tools().generator
    assert isinstance(generator, TransformersGenerator)
    model = generator.model
    encode = sandbox_tools().reader.encode
    groups = [
        [encode("Request: one\n1. a step"), encode("Request: one\n1. a step\n2. more of it")],
        [encode("something else")],
        [],
        [encode("Let me"), encode("Let me see"), encode("Let me see what that is")],
    ]
    choices = [[5, 6], [7]]
    found = TransformersLikelihoods(model, rows_at_once=4).shares(groups, choices)
    assert [len(each) for each in found] == [2, 1, 0, 3]
    for group, shares in zip(groups, found, strict=True):
        for row, (first, second) in zip(group, shares, strict=True):
            with torch.no_grad():
                alone = model(torch.tensor([row])).logits[0, -1].softmax(-1)
            assert first == pytest.approx(float(alone[5] + alone[6]), rel=1e-3, abs=1e-6)
            assert second == pytest.approx(float(alone[7]), rel=1e-3, abs=1e-6)


def test_the_sandbox_model_answers_yes_or_no_in_the_tokens_that_are_read() -> None:
    """Would catch reading " yes" where the vocabulary spells "yes" in pieces: no answer at all."""
    generator = sandbox_tools().generator
    assert isinstance(generator, TransformersGenerator)
    detector = SelfDetector.from_transformers(
        generator.model, generator.tokenizer, questions=SandboxQuestions()
    )
    cases, _ = sandbox_cases(6)
    rows = detector.probabilities(cases)
    assert [len(row) for row in rows] == [len(case.steps) for case in cases]
    assert all(0.0 <= each <= 1.0 for row in rows for each in row)


def test_it_is_a_teacher() -> None:
    trace = LabelledTrace("t", "a request", True, "test", "", STEPS, None)
    assert _likely(0.1, 0.8, 0.1).label(trace) == (Label.NEUTRAL, Label.CUE)
    assert _likely(0.1, 0.1, 0.1).label(trace) == (Label.NEUTRAL,) * 3
    assert _asked("hm", "hm").label(trace) is None


def test_it_is_a_detector_of_the_guard() -> None:
    detector = _likely(0.7)
    state = detector.start([{"role": "user", "content": "a request"}])
    (state,), inside = detector.score([state], ["It is"], [Channel.REASONING])
    (state,), end = detector.end_step([state], [STEPS[0]])
    assert inside.tolist() == [0.0] and end.tolist() == [pytest.approx(0.7)]
    (later,), _ = detector.end_step([state], [STEPS[1]])
    assert (state.steps, later.steps) == (STEPS[:1], STEPS[:2])
    assert Guard(detector).detector is detector


def test_its_identity_says_what_decides() -> None:
    names = {_likely().identity, _asked().identity, _asked(num_retries=2).identity}
    assert len(names) == 3


def test_agreement_counts_what_it_says() -> None:
    ours = [
        Finding(1),
        Finding(2),
        Finding(None),
        Finding(None),
        Finding(5),
        Finding(0, failed="x"),
    ]
    truth = [Finding(each) for each in (1, 3, None, 2, None, 0)]
    found = agreement(ours, truth)
    assert (found.num_traces, found.num_failed) == (6, 1)
    assert found.exact == pytest.approx(2 / 5)
    assert found.within_one == pytest.approx(3 / 5)
    assert found.presence == pytest.approx(3 / 5)
    assert found.kappa == pytest.approx((0.6 - 0.52) / 0.48)
    assert found.found == pytest.approx(2 / 3)
    assert found.false_alarms == pytest.approx(1 / 2)


def test_agreement_on_the_sandbox_knows_its_own_truth() -> None:
    cases, truths = sandbox_cases(12)
    assert agreement(truths, truths).exact == 1.0
    assert len(cases) == 12 and any(each.first_cue is not None for each in truths)
    assert any(each.first_cue is None for each in truths)
