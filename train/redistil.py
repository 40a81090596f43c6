"""The guard's detector distilled anew from a round's traces, and whether it is swapped in.

The labels are what the rollouts found: a trace up to its first cue, and the model's harmless
answers. The new student has to do at least as well as the one in use on the gate's prompts;
otherwise that one stays, as it does where a round's traces are too few to distil from.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..distill.config import DEFAULT_ENCODER, DistillConfig
from ..distill.labels import Label, LabelledTrace
from ..distill.run import distill
from ..distill.run_folder import OutsideError, inside, put_text, read_record, write_record
from ..guard.detector import Detector
from ..guard.detector_student import StudentDetector
from .cue_finders import DetectorFinder
from .gate_measure import GateProbe, Told, sentences
from .rollout_records import RolloutRecord
from .rollout_store import read_rollouts
from .rounds_config import RoundsConfig

STUDENT = "student"
"""In a round's folder: a link to the student that is swapped in."""

_RECORD = "redistil.json"


def redistilled(
    config: RoundsConfig, probe: GateProbe, folder: Path, told: Told = lambda _: None
) -> Path | None:
    """The folder of the new student, or None where the one in use stays.

    Resumable; `redistil.json` in the round's folder holds both students' figures, or why there is
    no new one.
    """
    target = folder / STUDENT
    record = read_record(folder / _RECORD)
    if record is None:
        settings = DistillConfig(
            out=inside(folder, "distill"),
            traces=(_written_traces(folder),),
            encoder=encoder_of(config),
            name="rerail-student-rounds",
        )
        try:
            made = distill(settings)
        except OutsideError:
            raise
        except ValueError as error:  # the round is none the worse for it
            told(f"the guard's detector stays as it is: {error}")
            record = {"swapped": False, "reason": str(error)}
        else:
            old = probe.detector or StudentDetector.from_folder()
            scores = {"old": agreement(probe, old)}
            scores["new"] = agreement(probe, StudentDetector.from_folder(made))
            record = {"swapped": scores["new"] >= scores["old"], "agreement": scores}
            if record["swapped"]:
                target.unlink(missing_ok=True)
                target.symlink_to(made.relative_to(folder))
        write_record(folder / _RECORD, record)
    return target if record["swapped"] else None


def encoder_of(config: RoundsConfig) -> str:
    """The sentence encoder that a run distils with: a local folder, or the hub's name."""
    return config.encoder or DEFAULT_ENCODER


def agreement(probe: GateProbe, detector: Detector) -> float:
    """Share of the gate's labelled traces whose first cue (or none) a detector finds exactly."""
    found = DetectorFinder(detector).find([each.case for each in probe.labelled])
    right = [
        cue.failed is None and cue.first_cue == each.first_cue
        for cue, each in zip(found, probe.labelled, strict=True)
    ]
    return sum(right) / max(1, len(right))


def labelled_traces(records: Iterator[RolloutRecord]) -> Iterator[LabelledTrace]:
    """What a round's rollouts say about steps, each as far as it is known."""
    for record in records:
        whole = sentences(_reasoning(record.original_text))
        if record.harmless:
            yield _trace(record, "own", whole, [Label.NEUTRAL] * len(whole))
        elif record.cue is not None and record.cue.step < len(whole):
            labels = [Label.NEUTRAL] * record.cue.step + [Label.CUE]
            yield _trace(record, "cue", whole[: len(labels)], labels)


def _trace(
    record: RolloutRecord, what: str, steps: tuple[str, ...], labels: list[Label]
) -> LabelledTrace:
    return LabelledTrace(
        f"{record.prompt.id}/{what}",
        record.prompt.request,
        record.prompt.harmful,
        "rounds",
        "self",
        steps,
        tuple(labels),
    )


def _reasoning(text: str) -> str:
    return text.partition("</think>")[0].replace("<think>", "")


def _written_traces(folder: Path) -> Path:
    path = folder / "rounds.jsonl"
    lines: list[dict[str, Any]] = [
        each.to_json() for each in labelled_traces(read_rollouts(folder / "rollouts"))
    ]
    put_text(path, "".join(json.dumps(line) + "\n" for line in lines))
    return path
