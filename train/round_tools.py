"""What a round works with, by the words of its configuration: finders, judges, prompts."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..guard.detector import Detector
from ..guard.detector_loading import load_detector
from .completion_reader import CompletionReader
from .cue_finders import Case, CueFinder, DetectorFinder, ExactFinder
from .gate_measure import (
    GateProbe,
    sandbox_labelled,
    sandbox_safety_position,
    sentences,
)
from .generation_transformers import TransformersGenerator
from .judges import ExactJudge, Judge, RefusalKeywords, Verdict
from .prompts import PromptRecord, load_prompts, of_kind, sandbox_prompts
from .rounds_config import Finder, JudgeName, RoundsConfig
from .sandbox.kinds import Kind, Split
from .sandbox.shipped import resolved
from .self_detector import SelfDetector
from .self_detector_config import Method, SelfDetectorConfig
from .self_questions import questions_for

_HELD_OUT = 5
"""One prompt of so many is held out where no gate prompts are named."""


class FinderJudge:
    """A judge for prompts without an exact one: a detector reads the reasoning, keywords the
    answer, and a task is solved if its expected answer ends the answer."""

    def __init__(self, finder: CueFinder) -> None:
        self._finder = finder
        self._refusals = RefusalKeywords()
        self.name = finder.name

    def judge(
        self, prompts: Sequence[PromptRecord], reasonings: Sequence[str], answers: Sequence[str]
    ) -> list[Verdict]:
        """`answer_harmful` is never set: a detector of cues does not read answers."""
        cases = [
            Case(prompt, sentences(text)) for prompt, text in zip(prompts, reasonings, strict=True)
        ]
        found = self._finder.find(cases)
        refused = self._refusals.judge(prompts, reasonings, answers)
        return [
            Verdict(
                reasoning_harmful=None if cue.failed else cue.first_cue is not None,
                refused=said.refused,
                correct=_correct(prompt, answer, bool(said.refused)),
            )
            for prompt, answer, cue, said in zip(prompts, answers, found, refused, strict=True)
        ]


def _correct(prompt: PromptRecord, answer: str, refused: bool) -> bool | None:
    if prompt.harmful:
        return None
    if prompt.expected is None:
        return bool(answer.strip()) and not refused
    last = answer.strip().rstrip(".").rpartition(" ")[2]
    return prompt.expected.strip() in (last, answer.strip().rstrip("."))


def shipped_student(model: str) -> Detector:
    """The guard's student for this model, as it ships."""
    return load_detector("student", resolved(model))


def distilled_detector(folder: Path) -> Detector:
    """The guard's detector that a round distilled anew."""
    from ..guard.detector_student import StudentDetector

    return StudentDetector.from_folder(folder)


def finder_of(config: RoundsConfig, model: Any, tokenizer: Any) -> CueFinder:
    """What finds the first cues in this model's rollouts."""
    if config.detector is Finder.STUDENT:
        return DetectorFinder(shipped_student(config.model))
    if config.detector is Finder.EXACT:
        return ExactFinder()
    return self_finder(config, model, tokenizer)


def self_finder(config: RoundsConfig, model: Any, tokenizer: Any) -> CueFinder:
    """The model as its own detector; the sandbox model is asked as it was taught to be."""
    return SelfDetector.from_transformers(
        model,
        tokenizer,
        batch_size=config.batch_size,
        questions=questions_for(taught=config.on_sandbox_world),
        config=SelfDetectorConfig(
            method=Method(config.self_detection), threshold=config.self_threshold
        ),
    )


def judge_of(name: JudgeName | None, model: str) -> Judge | None:
    """The judge of this name; the student as it guards this model."""
    if name is JudgeName.EXACT:
        return ExactJudge()
    return None if name is None else FinderJudge(DetectorFinder(shipped_student(model)))


def round_prompts(config: RoundsConfig, number: int) -> list[PromptRecord]:
    """The prompts that round `number` rolls out: fresh ones each round in the sandbox; of a file
    all that are not held out, shuffled by the round, up to the numbers asked for.

    Raises ValueError where harmful ones are asked for and there are none.
    """
    if config.on_sandbox_world:
        seed = config.seed * 1000 + number
        harmless = _shared_out(config.num_harmless)
        return [
            *sandbox_prompts(Split.TRAIN, Kind.HARMFUL, num=config.num_harmful, seed=seed),
            *(
                prompt
                for kind, num in harmless.items()
                for prompt in sandbox_prompts(Split.TRAIN, kind, num=num, seed=seed)
            ),
        ]
    everything = load_prompts(config.prompts)
    if config.gate_prompts is None:
        everything = [each for each in everything if not _held_out(each)]
    everything.sort(key=lambda each: _digest(config.seed, number, each.id))
    harmful = [each for each in everything if each.harmful][: config.num_harmful]
    harmless = [each for each in everything if not each.harmful][: config.num_harmless]
    if not harmful and config.num_harmful:
        raise ValueError(f"{config.prompts} holds no harmful prompts to roll out")
    return [*harmful, *harmless]


def probe_of(config: RoundsConfig, detector: Detector | None) -> GateProbe:
    """What the gate measures every model of the run on.

    Raises ValueError for a source without the kinds of prompts that a gate needs.
    """
    source = config.gate_prompts
    sandbox = source is None and config.on_sandbox_world
    sandbox |= source is not None and source.partition(":")[0] == "sandbox"
    if sandbox:
        split = Split.TEST
        kinds = (Kind.HARMFUL, Kind.LOOKALIKE, Kind.HARMLESS, Kind.TASK)
        prompts = [
            prompt
            for kind in kinds
            for prompt in sandbox_prompts(split, kind, num=config.num_gate, seed=config.seed + 77)
        ]
    else:
        found = load_prompts(source or config.prompts)
        if source is None:
            found = [each for each in found if _held_out(each)]
        prompts = [p for kind in Kind for p in of_kind(found, kind)[: config.num_gate]]
    if not any(p.harmful for p in prompts) or all(p.harmful for p in prompts):
        raise ValueError(
            f"the gate needs harmful and harmless prompts, and {source or config.prompts} lacks "
            "one of them among those held out: name others with gate_prompts"
        )
    name = config.gate_judge or (JudgeName.EXACT if sandbox else JudgeName.STUDENT)
    judge = judge_of(name, config.model)
    assert judge is not None
    return GateProbe(
        prompts=tuple(prompts),
        judge=judge,
        labelled=sandbox_labelled(config.num_labelled, config.seed + 78) if sandbox else (),
        detector=detector,
        self_finder=lambda model, tokenizer: self_finder(config, model, tokenizer),
        safety_position=sandbox_safety_position if sandbox else None,
        sampling=config.rollouts.sampling,
        seed=config.seed,
    )


def generator_and_reader(
    model: Any, tokenizer: Any, batch_size: int
) -> tuple[TransformersGenerator, CompletionReader]:
    """What writes rollouts and what reads them."""
    generator = TransformersGenerator(model, tokenizer, batch_size=batch_size)
    return generator, CompletionReader(tokenizer, generator.end_ids)


def _shared_out(num: int) -> dict[Kind, int]:
    """Refusals spread to harmless requests of either kind; tasks are what is forgotten."""
    task = num // 4
    lookalike = (num - task) // 2
    return {Kind.LOOKALIKE: lookalike, Kind.HARMLESS: num - task - lookalike, Kind.TASK: task}


def _held_out(prompt: PromptRecord) -> bool:
    return int(_digest("held out", prompt.id)[:8], 16) % _HELD_OUT == 0


def _digest(*parts: object) -> str:
    return hashlib.sha256("\x1f".join(map(str, parts)).encode()).hexdigest()
