"""The sandbox world: splits, counts, balance of words, labelled spans, determinism."""

import re
import subprocess
import sys
from collections import Counter
from itertools import pairwise

import pytest

from rerail.train.sandbox.kinds import Consent, Course, Kind, Label, Purpose, Split, is_harmful
from rerail.train.sandbox.topics import Family, all_topics, gerund, topics
from rerail.train.sandbox.world import (
    KIND_SHARES,
    SandboxPrompt,
    SandboxTrace,
    generate_traces,
    prompts,
)
from rerail.train.sandbox.wrappings import PLAIN, WRAPPINGS

BEST_SINGLE_WORD = 0.62
"""The best word reaches 0.585 balanced accuracy; a world where one reached more would be a toy."""


@pytest.fixture(scope="module")
def traces() -> list[SandboxTrace]:
    return generate_traces(Split.TRAIN, 1500, seed=3)


def test_topics_are_split_and_made_of_parts_that_training_has_seen() -> None:
    train = {topic.key for topic in all_topics() if topic.split is Split.TRAIN}
    test = {topic.key for topic in all_topics() if topic.split is Split.TEST}
    assert not train & test
    assert len(train) + len(test) == len(all_topics())
    for family in Family:
        for living in (False, True):
            seen = topics(Split.TRAIN, family, living)
            for topic in topics(Split.TEST, family, living):
                assert topic.action in {other.action for other in seen}, topic.key
                assert topic.noun in {other.noun for other in seen}, topic.key


def test_prompts_of_the_two_splits_share_no_topic_and_tasks_no_question() -> None:
    train, test = (prompts(split, num=1500, seed=5) for split in Split)
    shared = {p.topic for p in train} & {p.topic for p in test}
    assert all(topic.split("/")[0] in _TASK_SORTS for topic in shared)
    assert not {p.request for p in train if p.kind is Kind.TASK} & {
        p.request for p in test if p.kind is Kind.TASK
    }


_TASK_SORTS = {
    "addition", "subtraction", "multiplication", "lookup", "lookup_sum", "dearest", "ordering",
    "counting",
}  # fmt: skip


@pytest.mark.parametrize("split", list(Split))
@pytest.mark.parametrize("kind", [Kind.HARMFUL, Kind.LOOKALIKE])
def test_at_least_forty_topics_in_many_wordings_and_wrappings(split: Split, kind: Kind) -> None:
    drawn = prompts(split, kind, num=600, seed=1)
    assert len({p.topic for p in drawn}) >= 40
    assert len({p.request for p in drawn}) >= 560
    assert {p.wrapping for p in drawn} == set(WRAPPINGS)
    assert all(p.harmful is (kind is Kind.HARMFUL) for p in drawn)


def test_every_kind_task_and_turn_shape_occurs(traces: list[SandboxTrace]) -> None:
    counts = Counter(trace.kind for trace in traces)
    assert all(abs(counts[kind] / 1500 - share) < 0.06 for kind, share in KIND_SHARES.items())
    assert {t.topic.split("/")[0] for t in traces if t.kind is Kind.TASK} == _TASK_SORTS
    assert {t.course for t in traces if t.prompt.harmful} == set(Course) - {Course.HELP}
    assert any(len(t.prompt.messages) > 2 and t.prompt.harmful for t in traces)
    assert any(t.prompt.tools and "<tool_call>" in t.answer and t.prompt.harmful for t in traces)
    assert any(t.wrapping != PLAIN and t.kind is Kind.HARMLESS for t in traces)


def test_harm_follows_from_consent_and_purpose_together() -> None:
    assert is_harmful(Consent.NONE, Purpose.GOOD)
    assert not is_harmful(Consent.NONE, Purpose.RESCUE)
    assert is_harmful(Consent.OWN, Purpose.BAD)
    assert not is_harmful(Consent.AGREED, Purpose.GOOD)


def test_no_single_word_gives_harm_away() -> None:
    def shares(drawn: list[SandboxPrompt]) -> Counter[str]:
        words: Counter[str] = Counter()
        for prompt in drawn:
            words.update(set(re.findall(r"[a-z']+", prompt.request.lower())))
        return Counter({word: count / len(drawn) for word, count in words.items()})

    harmful = shares(prompts(Split.TRAIN, Kind.HARMFUL, num=2000, seed=2))
    innocent = shares(
        prompts(Split.TRAIN, Kind.HARMLESS, num=1200, seed=2)
        + prompts(Split.TRAIN, Kind.LOOKALIKE, num=800, seed=2)
    )
    best = max(0.5 + abs(harmful[w] - innocent[w]) / 2 for w in {*harmful, *innocent})
    assert best < BEST_SINGLE_WORD


def test_steps_are_the_sentences_and_carry_sensible_labels(traces: list[SandboxTrace]) -> None:
    for trace in traces:
        assert 6 <= len(trace.steps) <= 25
        assert len(trace.steps) == len(trace.labels) == len(trace.forced)
        assert trace.steps[0][0] == 0 and trace.steps[-1][1] == len(trace.think)
        for (_, end), (start, _) in pairwise(trace.steps):
            assert trace.think[end:start] in (" ", "\n", "\n\n")
        assert all(step == step.strip() and step for step in trace.sentences)
        assert "{" not in trace.think + trace.prompt.request
        if not trace.prompt.harmful:
            assert set(trace.labels) == {Label.NEUTRAL}


def test_courses_are_what_they_say(traces: list[SandboxTrace]) -> None:
    cues = (Label.CUE, Label.SUBSTANTIVE)
    for trace in traces:
        has_cue = trace.first_cue is not None
        assert has_cue is (trace.course in (Course.COMPLY, Course.RECOVER, Course.WAVER))
        if trace.course in (Course.RECOVER, Course.SAFE):
            last = max(i for i, mark in enumerate(trace.labels) if mark is Label.SAFETY)
            assert not any(mark in cues for mark in trace.labels[last:])


def test_cues_come_early_and_late(traces: list[SandboxTrace]) -> None:
    """A world whose cues all open the trace would reward a detector that fires at once."""
    first = Counter(t.first_cue for t in traces if t.first_cue is not None)
    assert first[0] > 20 and sum(count for at, count in first.items() if at >= 4) > 20


def test_rows_have_the_form_of_labelled_trace_files(traces: list[SandboxTrace]) -> None:
    row = traces[0].to_row()
    assert set(row) >= {"id", "request", "harmful", "model", "think", "answer", "steps", "labels"}
    assert isinstance(row["labels"], str) and set(row["labels"]) <= set("CUSN")


def test_same_seed_same_traces_in_another_process() -> None:
    """Catches any dependence on hash randomisation or on what was drawn before."""
    code = (
        "from rerail.train.sandbox.world import generate_traces as g\n"
        "import sys, zlib\n"
        "sys.stdout.write(str(zlib.crc32(repr(g('test', 60, 11)).encode())))"
    )
    runs = {
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        ).stdout
        for _ in range(2)
    }
    assert len(runs) == 1
    assert generate_traces("test", 20, 11) == generate_traces("test", 60, 11)[:20]
    assert generate_traces("test", 20, 11) != generate_traces("test", 20, 12)


def test_unknown_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="nonsense"):
        prompts(Split.TRAIN, "nonsense")


def test_gerunds() -> None:
    assert [gerund(a) for a in ("open", "use", "swap", "track down")] == [
        "opening", "using", "swapping", "tracking down"
    ]  # fmt: skip
