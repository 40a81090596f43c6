"""Run folders from elsewhere: what their records and links name must not lead out of them."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from command_line import CommandLine, refused
from preference_pairs import id_pairs, save_tiny
from small_rounds import SMALL

from rerail.distill.pictures import load_pyplot, save
from rerail.distill.run_folder import inside, put_text, read_record, write_record
from rerail.train.current import Current
from rerail.train.gate_figures import GateFigures
from rerail.train.preference import train_preference
from rerail.train.preference_config import PreferenceConfig
from rerail.train.results_log import ResultsLog
from rerail.train.rollout_store import RolloutStore, read_rollouts
from rerail.train.round_report import RoundReport
from rerail.train.rounds import run_rounds
from rerail.train.weights import Weights

OUTSIDE = "leads out of the folder"
FIGURES = GateFigures(reasoning_harm=0.5)


def _report(student: str | None = None, *, promoted: bool = True) -> RoundReport:
    return RoundReport(
        number=1,
        promoted=promoted,
        reason="because",
        before=FIGURES,
        after=FIGURES,
        num_pairs=1,
        tokens_per_pair=None,
        training_s=1.0,
        student=student,
    )


def _changed(path: Path, **fields: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run with one round that is over."""
    folder = tmp_path / "run"
    (folder / "round-1").mkdir(parents=True)
    _report().write(folder / "round-1")
    write_record(folder / "start.json", {"figures": FIGURES.to_row(), "wrote": []})
    return folder


@pytest.mark.parametrize("name", ["/etc/hostname", "..", "../other", "a/../../b", "link", "loop"])
def test_names_that_lead_out(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "link").symlink_to(tmp_path)
    (folder / "loop").symlink_to(folder / "loop")
    with pytest.raises(ValueError, match=OUTSIDE):
        inside(folder, name)


def test_names_that_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "run"
    (folder / "distill" / "student").mkdir(parents=True)
    (folder / "student").symlink_to(Path("distill") / "student")
    (tmp_path / "linked").symlink_to(folder)  # where a run lies is the user's
    for name in ("student", "not-yet", "training/adapter"):
        assert inside(folder, name) == folder / name
        assert inside(tmp_path / "linked", name) == tmp_path / "linked" / name
    monkeypatch.chdir(tmp_path)
    assert inside(Path("run/../run"), "student") == Path("run/../run/student")


@pytest.mark.parametrize("how", ["student", "link", "record", "damaged"])
def test_a_table_of_foreign_runs(run: Path, how: str) -> None:
    rerail = CommandLine(run.parent)
    report = run / "round-1" / "report.json"
    assert rerail("train", "table", run).code == 0
    if how == "student":
        _changed(report, new_student="../../../etc")
    elif how == "link":
        (run / "round-1").rename(run.parent / "elsewhere")
        (run / "round-1").symlink_to(run.parent / "elsewhere")
    elif how == "record":
        report.rename(run.parent / "elsewhere.json")
        report.symlink_to(run.parent / "elsewhere.json")
    else:
        report.write_text('{"round": 1}')
    refused(rerail("train", "table", run), 1, "is damaged" if how == "damaged" else OUTSIDE)


@pytest.mark.parametrize("name", ["/etc", "../../model", "away"])
def test_training_goes_on_only_with_what_lies_in_its_folder(tmp_path: Path, name: str) -> None:
    tiny = str(save_tiny(tmp_path / "tiny"))
    config = PreferenceConfig(
        model_name_or_path=tiny, use_cpu=True, lora_r=4, num_train_epochs=1, max_steps=1
    )
    folder = tmp_path / "training"
    train_preference(config, id_pairs(4), folder)
    (folder / "away").symlink_to(tmp_path / "tiny")
    _changed(folder / "result.json", trained=name)
    with pytest.raises(ValueError, match=OUTSIDE):
        train_preference(config, id_pairs(4), folder)


def test_a_checkpoint_elsewhere_is_not_gone_on_with(tmp_path: Path) -> None:
    config = PreferenceConfig(model_name_or_path=str(save_tiny(tmp_path / "tiny")), use_cpu=True)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "whole").touch()
    (tmp_path / "training").mkdir()
    (tmp_path / "training" / "checkpoint-9").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ValueError, match=OUTSIDE):
        train_preference(config, id_pairs(4), tmp_path / "training")


def test_a_round_goes_on_only_with_what_lies_in_its_folder(run: Path) -> None:
    base, folder = Current(Weights("base"), FIGURES), run / "round-1"
    with pytest.raises(ValueError, match=OUTSIDE):
        base.after(_report("../student"), SMALL, folder)
    (folder / "training").symlink_to(run.parent)
    with pytest.raises(ValueError, match=OUTSIDE):
        base.after(_report(), SMALL, folder)
    assert base.after(_report(promoted=False), SMALL, folder) is base


def test_rounds_do_not_go_on_in_a_folder_elsewhere(run: Path) -> None:
    config = replace(SMALL, rounds=2)
    write_record(run / "config.json", config.as_record())
    _report(promoted=False).write(run / "round-1")
    (run.parent / "elsewhere").mkdir()
    (run / "round-2").symlink_to(run.parent / "elsewhere")
    with pytest.raises(ValueError, match=OUTSIDE):
        run_rounds(config, run)
    assert not list((run.parent / "elsewhere").iterdir())


WRITERS: list[Callable[[Path], Any]] = [
    lambda path: RolloutStore(path.parent, {}),
    lambda path: list(read_rollouts(path.parent)),
    lambda path: ResultsLog(path, lambda row: (row["id"],)),
    read_record,
]


@pytest.mark.parametrize("use", WRITERS)
def test_files_that_are_links_out_are_neither_read_nor_added_to(
    tmp_path: Path, use: Callable[[Path], Any]
) -> None:
    (tmp_path / "run").mkdir()
    path, target = tmp_path / "run" / "rollouts.jsonl", tmp_path / "secret"
    target.write_text("{}\nno whole line")
    path.symlink_to(target)
    with pytest.raises(ValueError, match=OUTSIDE):
        use(path)
    assert target.read_text() == "{}\nno whole line"


def test_what_is_put_in_place_of_a_link_leaves_its_target(tmp_path: Path) -> None:
    (tmp_path / "target").write_text("as it was")
    (tmp_path / "report.md").symlink_to(tmp_path / "target")
    put_text(tmp_path / "report.md", "new")
    assert (tmp_path / "report.md").read_text() == "new"
    assert (tmp_path / "target").read_text() == "as it was"


def test_nor_is_a_picture_drawn_over_what_a_link_leads_to(tmp_path: Path) -> None:
    (tmp_path / "target").write_text("as it was")
    (tmp_path / "rounds.png").symlink_to(tmp_path / "target")
    pyplot = load_pyplot("train")
    save(pyplot, pyplot.figure(), tmp_path / "rounds.png")
    assert (tmp_path / "rounds.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "target").read_text() == "as it was"
