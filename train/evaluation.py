"""The evaluation: every arm answers every prompt with the same seeds, every judge judges it.

The folder holds `config.json`, `prompts.jsonl`, `traces.jsonl`, `verdicts.jsonl`, and in the end
`report.json`, `report.md` and plots. Lines are appended a batch at a time; after a kill the same
call does only what is missing, and gives what it would have given.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..distill.run_folder import check_config
from ..guard.config import GuardConfig
from ..guard.detector import Detector
from ..guard.guard import Guard
from .evaluation_config import Arm, EvaluationConfig
from .evaluation_subject import Subject, Written
from .judges import Judge, Verdict
from .prompts import PromptRecord
from .results_log import ResultsLog

BATCH = 64
"""Prompts a step: what a kill can cost."""

Step = Callable[[int], None]
"""Told how many generations or verdicts are done."""


@dataclass(frozen=True, slots=True)
class Suite:
    """A named set of prompts."""

    name: str
    prompts: tuple[PromptRecord, ...]


@dataclass(frozen=True, slots=True)
class Outcome:
    """One generation with its verdicts."""

    arm: Arm
    suite: str
    prompt: PromptRecord
    sample: int
    written: Written
    verdicts: Mapping[str, Verdict]
    """By judge, in the order of the judges."""

    @property
    def verdict(self) -> Verdict:
        """The first judge's, with what it leaves open taken from the next ones."""
        joined = Verdict()
        for each in self.verdicts.values():
            joined = joined.or_else(each)
        return joined

    @property
    def key(self) -> tuple[str, int]:
        """What pairs it with other arms: prompt and sample."""
        return f"{self.suite}/{self.prompt.id}", self.sample


@dataclass(frozen=True, slots=True)
class Parts:
    """What an evaluation is made from; loaded by the caller, since loading is what differs."""

    subject: Callable[[bool], Subject]
    """The model, with or without the adapter; asked when an arm needs it."""

    suites: Sequence[Suite]
    judges: Sequence[Judge]
    detector: Callable[[], Detector]


def evaluate(
    config: EvaluationConfig, parts: Parts, folder: Path, step: Step = lambda done: None
) -> list[Outcome]:
    """Runs what is missing and gives all outcomes.

    Raises ValueError for a folder that holds a run with other settings.
    """
    folder.mkdir(parents=True, exist_ok=True)
    check_config(folder, _record(config, parts))
    prompts = ResultsLog(folder / "prompts.jsonl", lambda row: (row["suite"], row["id"]))
    prompts.add(
        {"suite": suite.name} | each.to_row()
        for suite in parts.suites
        for each in suite.prompts
        if (suite.name, each.id) not in prompts
    )
    traces = ResultsLog(folder / "traces.jsonl", _key)
    for arm in sorted(config.arms, key=lambda arm: arm.adapted):  # one model at a time
        _write_arm(config, parts, arm, traces, step)
    verdicts = ResultsLog(folder / "verdicts.jsonl", lambda row: (*_key(row), row["judge"]))
    for judge in parts.judges:
        _judge_all(parts, judge, traces, verdicts, step)
    return _outcomes(config, parts, traces, verdicts)


def guard_of(config: GuardConfig, detector: Detector) -> Guard:
    """The guard of the guarded arms."""
    return Guard(detector, config)


def num_steps(config: EvaluationConfig, parts: Parts) -> int:
    """Generations and verdicts of a whole run."""
    asked = sum(len(suite.prompts) for suite in parts.suites)
    return asked * config.num_samples * len(config.arms) * (1 + len(parts.judges))


def _write_arm(
    config: EvaluationConfig, parts: Parts, arm: Arm, traces: ResultsLog, step: Step
) -> None:
    subject: Subject | None = None
    guard: Guard | None = None
    for suite in parts.suites:
        for sample in range(config.num_samples):
            missing = [
                each
                for each in suite.prompts
                if (arm.value, suite.name, each.id, sample) not in traces
            ]
            step(len(suite.prompts) - len(missing))
            for start in range(0, len(missing), BATCH):
                if subject is None:
                    subject = parts.subject(arm.adapted)
                    guard = guard_of(config.guard, parts.detector()) if arm.guarded else None
                asked = missing[start : start + BATCH]
                written = subject.write(
                    asked, config.sampling, seed=config.seed, sample=sample, guard=guard
                )
                traces.add(
                    {"arm": arm.value, "suite": suite.name, "prompt": prompt.id, "sample": sample}
                    | Written.from_trace(each.trace).to_row()
                    for prompt, each in zip(asked, written, strict=True)
                )
                step(len(asked))


def _judge_all(
    parts: Parts, judge: Judge, traces: ResultsLog, verdicts: ResultsLog, step: Step
) -> None:
    known = {(suite.name, each.id): each for suite in parts.suites for each in suite.prompts}
    missing = [row for key, row in traces.rows.items() if (*key, judge.name) not in verdicts]
    step(len(traces.rows) - len(missing))
    for start in range(0, len(missing), BATCH):
        rows = missing[start : start + BATCH]
        found = judge.judge(
            [known[row["suite"], row["prompt"]] for row in rows],
            [row["reasoning"] for row in rows],
            [row["answer"] for row in rows],
        )
        verdicts.add(
            {name: row[name] for name in ("arm", "suite", "prompt", "sample")}
            | {"judge": judge.name}
            | asdict(verdict)
            for row, verdict in zip(rows, found, strict=True)
        )
        step(len(rows))


def _outcomes(
    config: EvaluationConfig, parts: Parts, traces: ResultsLog, verdicts: ResultsLog
) -> list[Outcome]:
    outcomes = []
    fields = ("reasoning_harmful", "answer_harmful", "refused", "correct")
    for arm in config.arms:
        for suite in parts.suites:
            for prompt in suite.prompts:
                for sample in range(config.num_samples):
                    key = (arm.value, suite.name, prompt.id, sample)
                    row = {
                        name: value
                        for name, value in traces.rows[key].items()
                        if name not in ("arm", "suite", "prompt", "sample")
                    }
                    by_judge = {
                        judge.name: Verdict(
                            *(verdicts.rows[*key, judge.name][name] for name in fields)
                        )
                        for judge in parts.judges
                    }
                    outcomes.append(
                        Outcome(arm, suite.name, prompt, sample, Written.from_row(row), by_judge)
                    )
    return outcomes


def _record(config: EvaluationConfig, parts: Parts) -> dict[str, Any]:
    record = asdict(config)
    del record["guard"]["seed"]  # the run's own seed
    if any(arm.guarded for arm in config.arms):  # a student can be another under the same name
        detector = parts.detector()
        record["detector_identity"] = detector.identity
        record["thresholds"] = repr(detector.thresholds)
    return record | {
        "suites": {suite.name: len(suite.prompts) for suite in parts.suites},
        "judge_names": [judge.name for judge in parts.judges],
    }


def _key(row: Mapping[str, Any]) -> tuple[str, str, str, int]:
    return row["arm"], row["suite"], row["prompt"], row["sample"]
