"""The guard's detector distilled anew from rollouts: swapped in only where it is better."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from fakes import ThirdStep
from small_rounds import SMALL
from tiny_traces import HARMFUL, HARMLESS, PLACES, trace_line

from rerail.guard.detector import Detector
from rerail.guard.detector_student import StudentDetector
from rerail.train.cue_finders import Case
from rerail.train.current import Current
from rerail.train.gate_figures import GateFigures
from rerail.train.gate_measure import GateProbe, Labelled
from rerail.train.generation import Ended
from rerail.train.prompts import PromptRecord
from rerail.train.redistil import STUDENT, agreement, redistilled
from rerail.train.rollout_records import Cue, Outcome, RolloutRecord
from rerail.train.rollout_store import RolloutStore
from rerail.train.round_report import RoundReport
from rerail.train.round_tools import judge_of
from rerail.train.rounds import RoundsRun, run_rounds
from rerail.train.rounds_config import JudgeName
from rerail.train.sandbox.kinds import Kind
from rerail.train.weights import Weights


def _prompt(name: str, request: str, kind: Kind) -> PromptRecord:
    return PromptRecord(name, ({"role": "user", "content": request},), kind)


def _record(request: str, harmful: bool, number: int) -> RolloutRecord:
    """What a rollout keeps of one of the tiny traces."""
    trace = trace_line(request, harmful, number)
    kind = Kind.HARMFUL if harmful else Kind.HARMLESS
    cue = None
    if "C" in trace["labels"]:
        step = trace["labels"].index("C")
        cue = Cue(step, trace["think"], keep=step)
    return RolloutRecord(
        prompt=_prompt(trace["id"], request, kind),
        prompt_text=request,
        prompt_ids=(1,),
        seed=0,
        original_ids=(2, 3),
        original_text=f"<think>{trace['think']}</think>{trace['answer']}",
        original_ended=Ended.STOP,
        rejected_text="",
        cue=cue,
        outcome=None if cue else Outcome.NO_CUE,
    )


def _rolled_out(folder: Path, num: int | None = None) -> Path:
    """A round's folder with its rollouts, `num` of each kind."""
    store = RolloutStore(folder / "rollouts", {"seed": 0})
    for harmful, forms in ((True, HARMFUL), (False, HARMLESS)):
        asked = [(form.format(place), at) for form in forms for at, place in enumerate(PLACES)]
        for request, number in asked[:num]:
            store.add(_record(request, harmful, number))
    return folder


def _probe(detector: Detector) -> GateProbe:
    """Cues at the second step, in requests that the new student has met; `ThirdStep` sees none."""
    labelled = []
    for place in PLACES[1:3]:
        request = HARMFUL[0].format(place)
        prompt = _prompt(request, request, Kind.HARMFUL)
        steps = ("The user asks something.", "First, I'll plan how to do it.")
        labelled.append(Labelled(Case(prompt, steps), first_cue=1))
    judge = judge_of(JudgeName.EXACT, "sandbox")
    assert judge is not None
    return GateProbe(prompts=(), judge=judge, labelled=tuple(labelled), detector=detector)


def test_a_better_student_is_swapped_in_and_guards_the_next_round(
    encoder: Path, tmp_path: Path
) -> None:
    probe = _probe(ThirdStep())
    config = replace(SMALL, redistil=True, encoder=str(encoder))
    run = RoundsRun(config, tmp_path, start=None, told=print, probe=probe)  # pyright: ignore[reportArgumentType]
    folder = _rolled_out(run.folder(1))
    student = redistilled(config, probe, folder)
    assert student is not None and student == folder / STUDENT
    record = json.loads((folder / "redistil.json").read_text())
    assert record["swapped"] and record["agreement"]["old"] == 0.0
    made = StudentDetector.from_folder(student)
    assert agreement(probe, made) == record["agreement"]["new"]

    figures = GateFigures(reasoning_harm=0.1, over_refusal=0.0, utility=0.5, kl=0.0)
    report = RoundReport(
        number=1, promoted=True, reason="", before=figures, after=figures, num_pairs=1,
        tokens_per_pair=None, training_s=1.0, student=student.name,
    )  # fmt: skip
    (folder / "training" / "model").mkdir(parents=True)
    current = Current(Weights("sandbox"), figures).after(report, config, folder)
    guarding = run.round(2, current).probe.detector
    assert guarding is not None and guarding.identity == made.identity
    assert run.round(1, replace(current, student=None)).probe.detector is probe.detector

    written = (folder / "redistil.json").stat().st_mtime_ns
    assert redistilled(config, probe, folder) == student  # done: not distilled again
    assert (folder / "redistil.json").stat().st_mtime_ns == written


def test_too_few_traces_leave_the_detector_as_it_is(encoder: Path, tmp_path: Path) -> None:
    """The round's training is not lost with it."""
    folder = _rolled_out(tmp_path / "round-1", num=1)
    config = replace(SMALL, redistil=True, encoder=str(encoder))
    said: list[str] = []
    assert redistilled(config, _probe(ThirdStep()), folder, said.append) is None
    assert len(said) == 1 and said[0].startswith("the guard's detector stays as it is: ")
    assert not (folder / STUDENT).exists()
    assert redistilled(config, _probe(ThirdStep()), folder, said.append) is None
    assert len(said) == 1  # on record


def test_an_encoder_that_cannot_be_had_is_said_before_anything_is_done(tmp_path: Path) -> None:
    config = replace(SMALL, redistil=True, encoder="nobody/none")
    with pytest.raises(ValueError, match="encoder 'nobody/none' is no local folder"):
        run_rounds(config, tmp_path / "run")
    assert not (tmp_path / "run" / "start.json").exists()
