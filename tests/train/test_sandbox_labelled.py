"""Sandbox traces as the labelled files that the detector learns from."""

from pathlib import Path

from rerail.distill.labels import read_traces
from rerail.distill.request_sets import read_requests
from rerail.guard.channels import Channel
from rerail.train.sandbox.labelled import (
    conversation_prompts,
    model_rows,
    request_rows,
    world_rows,
    write_rows,
)
from rerail.train.sandbox.shipped import model_folder
from rerail.train.sandbox.world import prompts


def test_the_worlds_traces_are_read_back_with_labels_and_answers(tmp_path: Path) -> None:
    write_rows(world_rows("train", 80, 5), tmp_path / "w.jsonl")
    found = list(read_traces([tmp_path / "w.jsonl"]))
    assert len(found) == 80
    assert all(len(trace.labels or ()) == len(trace.steps) > 0 for trace in found)
    harmful = [trace for trace in found if trace.harmful]
    assert {trace.answer_harmful for trace in harmful} == {True, False}
    assert any(trace.first_cue is not None for trace in harmful)
    assert all(trace.first_cue is None for trace in found if not trace.harmful)
    assert Channel.TOOL_CALL in {trace.answer_channel for trace in found}


def test_the_model_writes_traces_that_the_judge_labels(tmp_path: Path) -> None:
    write_rows(model_rows(prompts("train", num=6, seed=5), 5, model_folder()), tmp_path / "m.jsonl")
    found = list(read_traces([tmp_path / "m.jsonl"]))
    assert len(found) == 6 and all(trace.steps for trace in found)


def test_requests_come_once_and_without_tasks(tmp_path: Path) -> None:
    write_rows(request_rows("train", 60, 5), tmp_path / "r.jsonl")
    found = list(read_requests([tmp_path / "r.jsonl"]))
    assert len({entry.request for entry in found}) == len(found) < 60
    assert {entry.kind for entry in found} == {"harmful", "harmless", "lookalike"}


def test_conversations_come_in_all_shapes_with_harmless_twins() -> None:
    asked = conversation_prompts("train", num=240, seed=5)
    assert 230 <= len(asked) <= 240
    assert {each.split for each in asked} == {"train"}
    for begin in ("turns-", "tools-", "long_prelude-", "fake_triggers-"):
        shaped = [each for each in asked if each.prompt_id.startswith(begin)]
        assert len(shaped) == 40
        assert sum(each.harmful for each in shaped) == 20
    assert len({each.prompt_id for each in asked}) == len(asked)
