"""Guarded batches against unguarded ones and against the guard's own loop, on the real model."""

import pytest

from rerail.guard import Guard, GuardConfig
from rerail.guard.backend_transformers_loading import load
from rerail.guard.decision import Verdict
from rerail.guard.detector_keywords import KeywordDetector
from rerail.guard.tokens import Author
from rerail.train.evaluation_subject import Subject
from rerail.train.exact_detector import ExactDetector
from rerail.train.generation import Job, Sampling, seed_of
from rerail.train.prompts import sandbox_prompts
from rerail.train.sandbox.shipped import model_folder

SAMPLING = Sampling(max_new_tokens=100)
PROMPTS = sandbox_prompts("test", "harmful", num=4, seed=2)


@pytest.fixture(scope="module")
def subject() -> Subject:
    return Subject.from_model("sandbox", *load(model_folder()), batch_size=8)


def test_without_a_detector_nothing_changes(subject: Subject) -> None:
    jobs = [Job(subject.prompt(each).ids, seed_of("evaluation", 0, 0, each.id)) for each in PROMPTS]
    plain = subject.generator.generate(jobs, SAMPLING)
    for guard in (None, Guard(KeywordDetector(), GuardConfig(policy="audit"))):  # type: ignore[arg-type]
        written = subject.write(PROMPTS, SAMPLING, guard=guard)
        assert [each.trace.tokens.known_ids() for each in written] == [each.ids for each in plain]


def test_up_to_the_first_intervention_both_arms_are_one(subject: Subject) -> None:
    guard = Guard(ExactDetector(PROMPTS))
    base = subject.write(PROMPTS, SAMPLING)
    guarded = subject.write(PROMPTS, SAMPLING, guard=guard)
    stepped = [each.trace for each in guarded if each.trace.interventions]
    assert stepped, "the exact detector finds cues in the sandbox model's reasoning"
    for one, other in zip(base, guarded, strict=True):
        if not other.trace.interventions:
            assert one.trace.text == other.trace.text
            continue
        first = other.trace.interventions[0]
        kept = other.trace.tokens.texts[: first.keep]
        assert one.trace.tokens.texts[: first.keep] == kept
        assert one.trace.text.startswith("".join(kept) + first.rolled_back.text)
        after = other.trace.tokens.authors[first.keep : first.keep + first.num_injected]
        assert set(after) == {Author.INJECTED}


def test_looking_on_the_way_gives_what_looking_afterwards_gives(subject: Subject) -> None:
    """A bug it would catch: random numbers out of step after a generation that was cut short."""
    detector = ExactDetector(PROMPTS)
    early = subject.write(PROMPTS, SAMPLING, guard=Guard(detector))
    late = subject.write(PROMPTS, SAMPLING, guard=Guard(detector), whole=True)
    for one, other in zip(early, late, strict=True):
        assert one.trace.interventions[:1] == other.trace.interventions[:1] or (
            one.trace.interventions[0].cue == other.trace.interventions[0].cue
        )
        assert len(other.branches) >= 1
        assert one.branches == ()


def test_branches_are_what_is_left_after_so_many_interventions(subject: Subject) -> None:
    detector = ExactDetector(PROMPTS)
    whole = subject.write(PROMPTS, SAMPLING, guard=Guard(detector), whole=True)
    base = subject.write(PROMPTS, SAMPLING)
    assert [each.branches[0] for each in whole] == [each.trace.text for each in base]
    once = GuardConfig(max_interventions=1, when_spent="audit")  # type: ignore[arg-type]
    first = subject.write(PROMPTS, SAMPLING, guard=Guard(detector, once), whole=True)
    for one, other in zip(first, whole, strict=True):
        reasoning = [each for each in one.trace.interventions if each.channel == "reasoning"]
        if reasoning and len(one.trace.interventions) == 1 and len(other.branches) > 1:
            assert one.trace.text == other.branches[1]


def test_the_budget_holds_over_all_runs(subject: Subject) -> None:
    guard = Guard(ExactDetector(PROMPTS), GuardConfig(max_interventions=2))
    written = subject.write(PROMPTS, Sampling(max_new_tokens=60), guard=guard)
    for each in written:
        assert len(each.trace.tokens) <= 60 + 80  # a trigger or refusal is injected as a whole
        kept = [step for step in each.trace.steps if step.verdict is Verdict.INTERVENE]
        assert len(kept) <= 4
