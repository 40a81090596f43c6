"""Whole rounds on the sandbox, small: what they leave, and going on after a kill."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from small_rounds import SMALL

from rerail.distill.run_folder import write_record
from rerail.guard.pair_files import read_pairs
from rerail.train.cue_finders import ExactFinder
from rerail.train.current import Current
from rerail.train.gate_figures import GateFigures
from rerail.train.prompts import sandbox_prompts
from rerail.train.rollout_store import read_rollouts
from rerail.train.round_report import RoundReport, round_table, write_summary
from rerail.train.round_tools import FinderJudge, probe_of, round_prompts
from rerail.train.rounds import run_rounds
from rerail.train.rounds_config import Finder, JudgeName, Promotion, RoundsConfig
from rerail.train.rounds_table import runs_table
from rerail.train.sandbox.kinds import Kind
from rerail.train.weights import Weights


def _figures(harm: float, **others: Any) -> GateFigures:
    return GateFigures(reasoning_harm=harm, over_refusal=0.0, utility=0.5, kl=0.0, **others)


def _report(number: int, promoted: bool, harm: float) -> RoundReport:
    return RoundReport(
        number=number,
        promoted=promoted,
        reason="because",
        before=_figures(0.9, interventions_per_100=80.0),
        after=_figures(harm, interventions_per_100=4.0),
        num_pairs=10,
        tokens_per_pair=250.0,
        training_s=3.0,
    )


def test_a_report_holds_every_figure_before_and_after(tmp_path: Path) -> None:
    report = _report(1, True, 0.1)
    report.write(tmp_path)
    record = json.loads((tmp_path / "report.json").read_text())
    assert record["reasoning_harm"] == {"before": 0.9, "after": 0.1}
    assert record["interventions_per_100"] == {"before": 80.0, "after": 4.0}
    asked = {"answer_harm", "over_refusal", "utility", "kl", "tokens_per_pair", "promoted"}
    assert asked <= record.keys()
    assert RoundReport.read(tmp_path) == report
    assert RoundReport.read(tmp_path / "none") is None


def test_the_run_s_table_and_its_report_show_what_was_rejected(tmp_path: Path) -> None:
    reports = [_report(1, True, 0.1), _report(2, False, 0.2)]
    write_summary(tmp_path, reports[0].before, reports)
    text = (tmp_path / "report.md").read_text()
    assert "| start | 90.0%" in text and "Round 2 rejected: because." in text
    assert (tmp_path / "rounds.png").exists() and (tmp_path / "divergence.png").exists()
    shown = Console(width=80, file=StringIO(), record=True)
    shown.print(round_table(reports[0].before, reports))
    (line,) = [each for each in shown.export_text().splitlines() if "harmful reasoning" in each]
    assert [cell.strip() for cell in line.split("│")[2:-1]] == ["90.0%", "10.0%", "20.0%"]


def test_runs_are_averaged_and_a_rejected_round_counts_as_what_went_on(tmp_path: Path) -> None:
    for seed, harm in enumerate((0.1, 0.3)):
        folder = tmp_path / str(seed)
        for number, promoted in ((1, True), (2, False)):
            (folder / f"round-{number}").mkdir(parents=True)
            report = _report(number, promoted, harm if promoted else 0.9)
            report.write(folder / f"round-{number}")
        write_record(folder / "start.json", {"figures": _figures(0.9).to_row()})
    lines = runs_table([tmp_path / "0", tmp_path / "1"]).splitlines()
    shares = [line.split(" | ")[1] for line in lines[2:]]
    assert shares == ["90.0% ± 0.0%", "20.0% ± 14.1%", "20.0% ± 14.1%"]
    with pytest.raises(ValueError, match="no finished round"):
        runs_table([tmp_path])


def test_a_rejected_round_changes_nothing(tmp_path: Path) -> None:
    current = Current(Weights("base"), _figures(0.9))
    assert current.after(_report(1, False, 0.1), SMALL, tmp_path) is current


def test_what_the_next_round_trains_from(tmp_path: Path) -> None:
    (tmp_path / "training" / "adapter").mkdir(parents=True)
    (tmp_path / "model").mkdir()
    current = Current(Weights("base"), _figures(0.9))
    merged = current.after(_report(1, True, 0.1), SMALL, tmp_path)
    stacking = replace(SMALL, promotion=Promotion.STACK)
    stacked = current.after(_report(1, True, 0.1), stacking, tmp_path)
    settings = merged.to_train(SMALL.training, seed=5)
    assert (settings.model_name_or_path, settings.adapter_name_or_path) == (
        str(tmp_path / "model"),
        None,
    )
    settings = stacked.to_train(SMALL.training, seed=5)
    assert settings.model_name_or_path == "base"
    assert settings.adapter_name_or_path == str(tmp_path / "training" / "adapter")


def test_rounds_have_prompts_of_their_own_and_the_gate_s_are_held_out(tmp_path: Path) -> None:
    first, second = (round_prompts(SMALL, number) for number in (1, 2))
    gate = probe_of(SMALL, None).prompts
    asked = [{prompt.request for prompt in each} for each in (first, second, gate)]
    assert not asked[0] & asked[1] and not (asked[0] | asked[1]) & asked[2]
    assert sum(prompt.harmful for prompt in first) == 4 and len(first) == 8
    file = tmp_path / "prompts.jsonl"
    rows = [p.to_row() for k in Kind for p in sandbox_prompts("train", k, num=20)]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    config = RoundsConfig(model="m", prompts=str(file), detector=Finder.STUDENT, num_gate=50)
    rolled = {prompt.id for prompt in round_prompts(config, 1)}
    held = {prompt.id for prompt in probe_of(config, None).prompts}
    assert rolled and held and not rolled & held and len(rolled | held) == 80


def test_prompt_files_that_do_not_do_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "broken.jsonl"
    file.write_text('{"request": "hi", "kind": "harmful"}\n{"request": \n')
    config = RoundsConfig(model="m", prompts=str(file))
    with pytest.raises(ValueError, match=r"broken.jsonl line 2: not JSON"):
        round_prompts(config, 1)
    file.write_text('{"request": "hi", "kind": "harmless"}\n')
    with pytest.raises(ValueError, match="no harmful prompts"):
        round_prompts(config, 1)
    with pytest.raises(ValueError, match="harmful and harmless prompts"):
        probe_of(replace(config, gate_prompts=str(file)), None)
    with pytest.raises(ValueError, match="reads the sandbox's world only"):
        RoundsConfig(model="m", prompts=str(file), gate_judge=JudgeName.EXACT)


def test_a_detector_can_judge_where_no_exact_judge_is() -> None:
    prompts = [sandbox_prompts("test", kind, num=1)[0] for kind in (Kind.HARMFUL, Kind.TASK)]
    judge = FinderJudge(ExactFinder())
    expected = prompts[1].expected or ""
    verdicts = judge.judge(prompts, ["", ""], ["I can't help with that.", f"It is {expected}."])
    assert [each.refused for each in verdicts] == [True, False]
    assert [each.correct for each in verdicts] == [None, True]
    assert [each.reasoning_harmful for each in verdicts] == [False, False]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[RoundReport]]:
    out = tmp_path_factory.mktemp("rounds")
    return out, run_rounds(SMALL, out)


def test_a_round_leaves_everything_in_its_folder(run: tuple[Path, list[RoundReport]]) -> None:
    out, reports = run
    folder = out / "round-1"
    names = {each.name for each in folder.iterdir()}
    assert {"rollouts", "pairs.jsonl", "training", "figures.json", "verdict.json"} <= names
    pairs = list(read_pairs(folder / "pairs.jsonl"))
    assert len(pairs) == reports[0].num_pairs > 0
    assert all(pair.prompt_ids and pair.chosen_ids and pair.rejected_ids for pair in pairs)
    card = (folder / "training" / "adapter" / "README.md").read_text()
    assert "| reasoning_harm |" in card
    assert (out / "report.md").exists()


def test_a_run_that_is_over_is_not_done_again(run: tuple[Path, list[RoundReport]]) -> None:
    out, reports = run

    def written() -> dict[Path, int]:
        worked_out = [out / "start.json", *(out / "round-1").rglob("*")]
        return {path: path.stat().st_mtime_ns for path in worked_out}

    before, said = written(), []
    assert run_rounds(SMALL, out, told=said.append) == reports
    assert said == [] and written() == before
    with pytest.raises(ValueError, match="another seed"):
        run_rounds(replace(SMALL, seed=9), out)


@pytest.mark.slow
def test_killed_anywhere_it_goes_on_to_the_same_end(
    run: tuple[Path, list[RoundReport]], tmp_path: Path
) -> None:
    """Kills the run after each stage's file has appeared, and in between."""
    out, _ = run
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    script = Path(__file__).with_name("rounds_process.py")
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}
    marks = ["rollouts/rollouts.jsonl", "pairs.jsonl", "training/config.json", "figures.json"]
    for mark in marks:
        with subprocess.Popen(
            [sys.executable, script, killed], env=environment, start_new_session=True
        ) as process:
            end = time.monotonic() + 240
            while not (killed / "round-1" / mark).exists() and process.poll() is None:
                assert time.monotonic() < end
                time.sleep(0.02)
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
    again = run_rounds(SMALL, killed)
    # Prompts that were rolled out in other batches have other sums, and may be answered otherwise:
    # each has its answers once, and what comes of these is the same as without a kill.
    asked = [
        [record.prompt.id for record in read_rollouts(folder / "round-1" / "rollouts")]
        for folder in (out, killed)
    ]
    assert sorted(asked[0]) == sorted(asked[1]) and len(set(asked[1])) == len(asked[1])
    shutil.copytree(killed / "round-1" / "rollouts", whole / "round-1" / "rollouts")
    shutil.copy(killed / "round-1" / "writer.json", whole / "round-1")
    reports = run_rounds(SMALL, whole)
    assert again[0].after == reports[0].after and again[0].promoted == reports[0].promoted
    one, other = ((folder / "round-1" / "pairs.jsonl").read_bytes() for folder in (whole, killed))
    assert one == other
    assert run_rounds(SMALL, killed) == again
