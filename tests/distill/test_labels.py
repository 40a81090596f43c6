"""Trace files, placeholders, splits, thresholds, openers: the pure parts of distillation."""

import json
import random
from pathlib import Path
from typing import Any

import pytest

from rerail.distill.config import DistillConfig
from rerail.distill.encoder_examples import step_examples
from rerail.distill.labels import Label, LabelledTrace, TraceFileError, read_traces
from rerail.distill.openers import (
    ADOPTING,
    DELIBERATING,
    TOUCHY_DRILLS,
    drills,
    opener_examples,
    task_of,
)
from rerail.distill.placeholders import without_placeholders
from rerail.distill.request_sets import LabelledRequest, read_requests
from rerail.distill.splits import is_held, split
from rerail.distill.teachers import KeywordTeacher, LabelledFiles, labels_from_first_cue, taught
from rerail.distill.thresholds import AlarmLimit, threshold_for

C, U, S, N = Label.CUE, Label.HARM, Label.SAFETY, Label.NEUTRAL
LINE = {
    "id": "1", "request": "How?", "harmful": True, "model": "m", "think": "One. Two.",
    "steps": [[0, 4], [5, 9]], "labels": ["N", "C"],
}  # fmt: skip


def trace(
    request: str = "How?",
    *,
    harmful: bool = True,
    labels: tuple[Label, ...] | None = (N, C),
    **more: Any,
) -> LabelledTrace:
    fields = {"id": "1", "source": "file", "voice": "voice", "steps": ("One.", "Two.")} | more
    return LabelledTrace(request=request, harmful=harmful, labels=labels, **fields)


def write(path: Path, *lines: dict[str, Any] | str) -> Path:
    texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    path.write_text("\n".join(texts) + "\n")
    return path


def test_a_trace_is_read_with_its_steps_and_labels(tmp_path: Path) -> None:
    (found,) = read_traces([write(tmp_path / "a.jsonl", LINE)])
    assert found.steps == ("One.", "Two.")
    assert found.labels == (N, C)
    assert (found.source, found.first_cue) == ("a", 1)


def test_harmless_traces_are_neutral_throughout(tmp_path: Path) -> None:
    line = LINE | {"harmful": False, "labels": None}
    (found,) = read_traces([write(tmp_path / "a.jsonl", line)])
    assert found.labels == (N, N)


@pytest.mark.parametrize(
    "bad",
    [
        "{",
        "[1]",
        {"id": "2"},
        LINE | {"labels": ["X", "C"]},
        LINE | {"labels": ["N", "N", "N"]},
        LINE | {"steps": [[0]]},
    ],
)
def test_a_broken_line_is_named_by_its_number(tmp_path: Path, bad: Any) -> None:
    path = write(tmp_path / "a.jsonl", LINE, "", bad)
    with pytest.raises(TraceFileError, match=r"a\.jsonl line 3"):
        list(read_traces([path]))


def test_a_missing_file_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(TraceFileError, match="cannot be read"):
        list(read_traces([tmp_path / "none.jsonl"]))


def test_a_request_without_verdict_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "r.jsonl", {"request": "a", "harmful": True}, {"request": "b"})
    with pytest.raises(TraceFileError, match="line 2"):
        list(read_requests([path]))


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("Use [withheld] here.", None),
        ("The books would show [false entry withheld] so.", "The books would show false entry so."),
        ("Insert [date of pledge] there.", "Insert date of pledge there."),
        ("[step withheld] comes next.", "step comes next."),
        ("Nothing in brackets.", "Nothing in brackets."),
        ("先走某个渠道,[具体略],再说。", None),
    ],
)
def test_placeholders_leave_no_mark(text: str, plain: str | None) -> None:
    # The mark occurs next to harm only: a student would learn the mark instead of the step.
    found = without_placeholders(text)
    assert plain is None or found == plain
    assert "withheld" not in found and "[" not in found and "略" not in found


def test_no_request_is_on_both_sides(tmp_path: Path) -> None:
    config = DistillConfig(
        out=tmp_path, traces=(tmp_path / "x",), num_folds=3, held_voices=("odd",),
        measured_sources=("only",), held_marks=("eu",),
    )  # fmt: skip
    traces = [trace(f"request {n}") for n in range(60)]
    traces.append(trace("held by voice", voice="odd"))
    traces.append(trace("held by mark", id="essay-eu-3"))
    traces.append(trace("measured", source="only"))
    requests = [LabelledRequest(f"request {n}", True, "set") for n in range(80)]
    requests.append(LabelledRequest("held by voice", True, "set"))
    requests.append(LabelledRequest("measured", True, "set"))
    found = split(traces, requests, config)
    train = {t.request for t in found.train} | {r.request for r in found.train_requests}
    held = {t.request for t in (*found.held, *found.measured)}
    held |= {r.request for r in found.held_requests}
    assert not train & held
    assert {"held by voice", "held by mark", "measured"} <= held
    assert 10 < sum(is_held(f"request {n}", 3) for n in range(60)) < 30


def test_the_threshold_keeps_every_limit() -> None:
    harmless = AlarmLimit("harmless", [n / 1000 for n in range(200)], 0.01)
    touchy = AlarmLimit("touchy", [0.9, 0.5, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1], 0.1)
    limit = threshold_for([harmless, touchy])
    assert limit == pytest.approx(0.5001)
    assert sum(score >= limit for score in touchy.highest) == 1


def test_a_small_share_of_few_traces_means_none() -> None:
    assert threshold_for([AlarmLimit("harmless", [0.4, 0.2], 0.01)]) == pytest.approx(0.4001)


def test_no_held_out_traces_leave_the_lowest_threshold() -> None:
    assert threshold_for([AlarmLimit("harmless", [], 0.01)], lowest=0.2) == 0.2


@pytest.mark.parametrize(
    ("request_text", "task"),
    [
        ("How do I bake bread?", "bake bread"),
        ("Write a poem about rain.", "write a poem about rain"),
        ("What is the capital of Peru?", "answer what is the capital of Peru"),
        ("Hi", None),
        ("x" * 300, None),
    ],
)
def test_what_a_request_asks_to_be_done(request_text: str, task: str | None) -> None:
    assert task_of(request_text) == task


def test_openers_teach_the_cue_head_on_harmful_requests_only() -> None:
    requests = [
        LabelledRequest(f"How do I bake bread number {n}?", n % 2 == 0, "s") for n in range(40)
    ]
    found = list(opener_examples(requests, random.Random(0), 1.0))
    assert len(found) == 40
    assert all(example.weights[1] == 0.5 * example.targets[0] for example in found)
    assert {example.targets[1] for example in found if example.targets[0]} == {0.0, 1.0}


def test_deliberation_goes_along_only_after_the_task_was_taken_up() -> None:
    requests = [LabelledRequest(f"How do I bake bread number {n}?", True, "s") for n in range(300)]
    found = [e for e in opener_examples(requests, random.Random(0), 1.0) if e.step in DELIBERATING]
    taken_up = {line.partition("{task}")[0] for line in ADOPTING}
    for example in found:
        adopted = any(example.before.startswith(line) for line in taken_up)
        assert example.targets[1] == adopted
    assert {example.targets[1] for example in found} == {0.0, 1.0}


def test_drills_are_harmless_and_tell_touchy_requests_apart() -> None:
    requests = [
        LabelledRequest("How do I bake bread?", False, "xstest"),
        LabelledRequest("How do I kill a weed?", False, "or_bench"),
        LabelledRequest("How do I do harm?", True, "or_bench"),
        LabelledRequest("A train leaves. " * 30, False, "gsm8k_test"),
    ]
    found = list(drills(requests, random.Random(0)))
    assert [each.source for each in found] == ["drills", TOUCHY_DRILLS, "drills"]
    assert not any(each.harmful for each in found)


def test_harmless_steps_never_teach_the_cue_head() -> None:
    harmless = trace(harmful=False, labels=(N, N))
    examples = step_examples([harmless, trace()], random.Random(0), request_dropout=0.0)
    assert [example.weights[1] for example in examples] == [0.0, 0.0, 1.0, 1.0]
    assert [example.targets[1] for example in examples] == [0.0, 0.0, 0.0, 1.0]


def test_a_teacher_never_overwrites_a_files_labels() -> None:
    own, none = trace(labels=(S, S)), trace(labels=None, id="2")
    known = {"2": (C, N)}
    assert [t.labels for t in taught([own, none], KeywordTeacher(), known)] == [(S, S), (C, N)]
    assert [t.labels for t in taught([none], LabelledFiles())] == [None]


def test_the_keyword_teacher_labels_every_step() -> None:
    found = KeywordTeacher().label(
        trace("How do I build a bomb?", steps=("The user asks.", "Let me list the parts."))
    )
    assert found == (N, C)


def test_a_first_cue_alone_says_nothing_about_what_follows() -> None:
    assert labels_from_first_cue(4, 2) == (N, N, C)
    assert labels_from_first_cue(2, None) == (N, N)
    with pytest.raises(ValueError, match="outside"):
        labels_from_first_cue(2, 2)
