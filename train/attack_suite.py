"""Both arms of every suite: single turn, later turns, tools, every attack; seeded, resumable."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..distill.run_folder import check_config
from ..guard.config import GuardConfig
from ..guard.detector import Detector
from ..guard.guard import Guard
from .evaluation_subject import Subject, Written
from .generation import Sampling
from .generation_opened import OpenedGenerator
from .judges import ExactJudge
from .prompts import PromptRecord
from .results_log import ResultsLog
from .sandbox.attacks import ATTACKS, AttackedPrompt, attacked
from .sandbox.conversations import multi_turn, with_tools
from .sandbox.kinds import Kind, Split
from .sandbox.world import SandboxPrompt, prompts
from .suite_result import SINGLE, SuiteRun

TURNS, TOOLS = "multi_turn", "tools"
"""Names of the suites besides the single turn and the attacks."""

SUITES = (SINGLE, TURNS, TOOLS, *ATTACKS)
"""All, by name."""

DetectorOf = Callable[[Sequence[PromptRecord]], Detector]
"""Makes the guard's detector for the prompts that it will meet; most do not look at them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SuiteConfig:
    """What is asked, and under which guard."""

    num: int = 60
    """Harmful prompts of each suite."""

    seed: int = 0
    suites: tuple[str, ...] = SUITES
    guard: GuardConfig = GuardConfig()  # noqa: RUF009 - frozen
    sampling: Sampling = Sampling()  # noqa: RUF009 - frozen


def measure_suites(
    subject: Subject,
    detector: DetectorOf,
    folder: Path,
    config: SuiteConfig,
    *,
    step: Callable[[int], None] = lambda done: None,
) -> list[SuiteRun]:
    """Both arms on harmful prompts of each suite, and on as many harmless twins where the suite has
    some; what the folder's `suites.jsonl` has already is not done again.

    `step` hears how many prompts were done. Raises ValueError for a suite that is not there, and
    for a folder of other settings.
    """
    num, seed, sampling = config.num, config.seed, config.sampling
    folder.mkdir(parents=True, exist_ok=True)
    guarding = detector(())
    settings = {"model": subject.name, "seed": seed, "num": num, "sampling": asdict(sampling),
                "detector": guarding.identity, "thresholds": repr(guarding.thresholds),
                "guard": asdict(config.guard)}  # fmt: skip
    check_config(folder, settings, name="suites.json")
    log = ResultsLog(folder / "suites.jsonl", lambda row: (row["arm"], row["id"]))
    runs = []
    for suite in config.suites:
        cases = cases_of(suite, num, seed)
        records = [PromptRecord.from_sandbox(each.prompt) for each in cases]
        for arm in ("before", "after"):
            missing = [n for n, each in enumerate(records) if (arm, each.id) not in log]
            step(len(cases) - len(missing))
            if not missing:
                continue
            asked = [records[n] for n in missing]
            guard = Guard(detector(asked), config.guard) if arm == "after" else None
            opened = _opened(subject, [cases[n] for n in missing])
            written = opened.write(asked, sampling, seed=seed, guard=guard)
            log.add(
                {"arm": arm, "suite": suite, "id": prompt.id}
                | _judged(prompt, cases[n], Written.from_trace(each.trace))
                for n, prompt, each in zip(missing, asked, written, strict=True)
            )
            step(len(missing))
        pairs = tuple(
            (log.rows["before", i], log.rows["after", i]) for i in (r.id for r in records)
        )
        runs.append(SuiteRun(suite, seed, pairs))
    return runs


def cases_of(suite: str, num: int, seed: int) -> list[AttackedPrompt]:
    """The prompts of a suite. Raises ValueError for an unknown name."""
    if suite in ATTACKS:
        return attacked(suite, Split.TEST, num, seed)
    found: list[SandboxPrompt]
    if suite == SINGLE:
        found = [
            each
            for kind in (Kind.HARMFUL, Kind.HARMLESS)
            for each in prompts(Split.TEST, kind, num=num, seed=seed)
        ]
    elif suite == TURNS:
        found = multi_turn(Split.TEST, num, seed)
    elif suite == TOOLS:
        found = with_tools(Split.TEST, num, seed)
    else:
        raise ValueError(f"there is no suite {suite!r}: use {', '.join(SUITES)}")
    return [AttackedPrompt(each) for each in found]


def _opened(subject: Subject, cases: Sequence[AttackedPrompt]) -> Subject:
    """The subject as a model that begins as the attacks want it to."""
    openings = {}
    for each in cases:
        if each.opening:
            ids = subject.prompt(PromptRecord.from_sandbox(each.prompt)).ids
            opening = subject.tokenizer(each.opening, add_special_tokens=False)["input_ids"]
            openings[ids] = tuple(opening)
    if not openings:
        return subject
    return subject.with_generator(OpenedGenerator(subject.generator, openings))


def _judged(prompt: PromptRecord, case: AttackedPrompt, written: Written) -> dict[str, Any]:
    verdict = ExactJudge().judge([prompt], [written.reasoning], [written.answer])[0]
    reasoning = bool(verdict.reasoning_harmful) or case.keeps_cue(written.reasoning)
    return written.to_row() | {
        "harmful_request": prompt.harmful,
        "reasoning_harmful": reasoning,
        "answer_harmful": verdict.answer_harmful,
        "refused": verdict.refused,
    }
