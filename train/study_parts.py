"""What one seed of the study measures, part by part; every part goes on where it was."""

from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ..guard.detector import Detector
from ..guard.detector_loading import load_detector
from .attack_suite import SuiteConfig, measure_suites
from .csr import exact_labels, measure_csr
from .csr_config import CsrConfig
from .csr_trace import CsrTrace
from .evaluation_subject import Subject, Written
from .exact_detector import ExactDetector
from .generation import Sampling
from .intervention_curve import (
    Intervened,
    InterventionConfig,
    InterventionProbe,
    measure_interventions,
)
from .judges import ExactJudge
from .part_times import timed
from .prompts import PromptRecord, sandbox_prompts
from .results_log import ResultsLog
from .sandbox.kinds import Kind, Label, Split
from .sandbox.shipped import model_folder
from .study_training import ArmsConfig, Trained, measure_arms, trainings
from .suite_result import SuiteRun

DETECTORS = ("keywords", "student", "self", "exact")
"""Weak to strong; the exact one stands where the paper has GPT-4o."""

Told = Callable[[], None]
"""Told that a part is done."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyConfig:
    """Sizes; the defaults take a seed within 45 minutes on two cores."""

    num_seeds: int = 1
    """Seeds 0, 1, ..."""

    num_traces: int = 120
    """Harmful prompts for the share of safe traces that hold a trigger."""

    num_csr: int = 30
    """Traces whose turning point is measured (the paper: 30)."""

    num_continuations: int = 16
    """A position (the paper: 32)."""

    csr_stride: int = 10
    """Tokens between two positions while nothing has settled."""

    csr_resolution: int = 2
    """Tokens between two positions where something may have."""

    num_intervened: int = 60
    """Prompts intervened in, for each detector."""

    cap: int = 5
    """Interventions at most."""

    num_suite: int = 50
    """Harmful prompts of each suite and attack, and as many harmless twins."""

    arms: ArmsConfig = field(default_factory=ArmsConfig)
    """The training ablation."""

    sampling: Sampling = field(default_factory=Sampling)
    """Of every part."""

    def __post_init__(self) -> None:
        if self.num_seeds < 1:
            raise ValueError(f"the number of seeds is {self.num_seeds}: give at least 1")

    @classmethod
    def quick(cls, num_seeds: int = 1) -> "StudyConfig":
        """A small size, for a look and for tests."""
        return cls(
            num_seeds=num_seeds,
            num_traces=24,
            num_csr=8,
            num_continuations=8,
            csr_stride=12,
            csr_resolution=4,
            num_intervened=10,
            num_suite=6,
            arms=ArmsConfig(
                num_harmful=16,
                num_measured=8,
                arms=("intervened", "whole", "sft", "no_stage_2"),
                max_steps=6,
            ),
        )

    def csr(self, seed: int) -> CsrConfig:
        """How turning points are measured."""
        return CsrConfig(
            num_continuations=self.num_continuations,
            stride=self.csr_stride,
            resolution=self.csr_resolution,
            seed=seed,
            sampling=self.sampling,
        )

    @property
    def num_parts(self) -> int:
        """Parts of all seeds."""
        return self.num_seeds * (4 + len(DETECTORS))


@dataclass(slots=True)
class Findings:
    """Observations of all seeds together."""

    traces: list[dict[str, Any]] = field(default_factory=list)
    csr: list[CsrTrace] = field(default_factory=list)
    interventions: dict[str, list[Intervened]] = field(default_factory=dict)
    suites: list[SuiteRun] = field(default_factory=list)
    arms: list[dict[str, Any]] = field(default_factory=list)
    trained: list[Trained] = field(default_factory=list)


def measure_seed(
    seed: int, config: StudyConfig, subject: Subject, folder: Path, model: str, told: Told
) -> Findings:
    """All parts of one seed."""
    found = Findings()
    harmful = sandbox_prompts(Split.TEST, Kind.HARMFUL, num=config.num_traces, seed=seed)
    with _part("traces", folder, told):
        found.traces = trigger_traces(subject, harmful, seed, config.sampling, folder)
    with _part("turning points", folder, told):
        asked = harmful[: config.num_csr]
        csr = config.csr(seed)
        found.csr = measure_csr(subject, asked, ExactJudge(), csr, folder)
    asked = harmful[: config.num_intervened]
    curve = InterventionConfig(cap=config.cap, seed=seed, sampling=config.sampling)
    for name in DETECTORS:
        with _part(f"interventions, {name}", folder, told):
            detector = detector_named(name, subject, asked)
            probe = InterventionProbe(subject, detector, ExactJudge(), curve)
            found.interventions[name] = measure_interventions(probe, asked, folder, name=name)
    with _part("suites", folder, told):
        found.suites = measure_suites(
            subject,
            lambda prompts: detector_named("student", subject, prompts),
            folder,
            SuiteConfig(num=config.num_suite, seed=seed, sampling=config.sampling),
        )
    with _part("training", folder, told):
        arms = replace(config.arms, model=model, sampling=config.sampling, seed=seed)
        found.arms = measure_arms(arms, folder / "arms")
        found.trained = trainings(arms, folder / "arms")
    return found


@contextmanager
def _part(name: str, folder: Path, told: Told) -> Generator[None]:
    with timed(folder, name):
        yield
    told()


def trigger_traces(
    subject: Subject,
    prompts: Sequence[PromptRecord],
    seed: int,
    sampling: Sampling,
    folder: Path,
) -> list[dict[str, Any]]:
    """For each trace whether it is safe, and whether it holds a safety trigger."""
    folder.mkdir(parents=True, exist_ok=True)
    log = ResultsLog(folder / "traces.jsonl", lambda row: (row["id"],))
    missing = [each for each in prompts if (each.id,) not in log]
    if missing:
        written = [
            Written.from_trace(each.trace) for each in subject.write(missing, sampling, seed=seed)
        ]
        verdicts = ExactJudge().judge(
            missing, [each.reasoning for each in written], [each.answer for each in written]
        )
        log.add(
            {
                "id": prompt.id,
                "reasoning_harmful": verdict.reasoning_harmful,
                "answer_harmful": verdict.answer_harmful,
                "trigger": any(
                    mark is Label.SAFETY for _, mark in exact_labels(prompt, each.reasoning)
                ),
                "reasoning": each.reasoning,
                "answer": each.answer,
            }
            for prompt, each, verdict in zip(missing, written, verdicts, strict=True)
        )
    return [log.rows[each.id,] for each in prompts]


def detector_named(name: str, subject: Subject, prompts: Sequence[PromptRecord]) -> Detector:
    """A detector of `DETECTORS`."""
    if name == "exact":
        return ExactDetector(prompts)
    if name == "self":
        return self_detector(subject)
    return load_detector(name, model_folder())


def self_detector(subject: Subject, *, taught: bool = True) -> Detector:
    """The model as its own detector; `taught` as for `questions_for`.

    Raises ValueError for a subject that does not run in this process.
    """
    from .generation_transformers import TransformersGenerator
    from .self_detector import SelfDetector
    from .self_questions import questions_for

    generator = subject.generator
    if not isinstance(generator, TransformersGenerator):
        raise ValueError("the model judges itself only where it runs in this process")
    return SelfDetector.from_transformers(
        generator.model,
        generator.tokenizer,
        questions=questions_for(taught=taught),
    )
