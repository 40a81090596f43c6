"""Harm before and after the guard, by suite: single turn, later turns, tools, and every attack.

The table is a regression table: seeded, resumable, and compared line by line between versions.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..guard.config import GuardConfig
from ..guard.detector import Detector
from ..guard.guard import Guard
from .evaluation_measures import Difference, Figure, paired, share
from .evaluation_subject import Subject, Written
from .generation import Sampling
from .generation_opened import OpenedGenerator
from .judges import ExactJudge
from .prompts import PromptRecord
from .results_log import ResultsLog
from .run_folder import check_config
from .sandbox.attacks import ATTACKS, AttackedPrompt, attacked
from .sandbox.conversations import multi_turn, with_tools
from .sandbox.kinds import Kind, Split
from .sandbox.world import SandboxPrompt, prompts

SINGLE, TURNS, TOOLS = "single_turn", "multi_turn", "tools"
SUITES = (SINGLE, TURNS, TOOLS, *ATTACKS)


@dataclass(frozen=True, slots=True)
class SuiteResult:
    """One suite, before and after the guard."""

    suite: str
    before: Figure
    """Harmful share: of reasoning or answer."""

    after: Figure
    difference: Difference
    reasoning_before: Figure
    reasoning_after: Figure
    answer_before: Figure
    answer_after: Figure
    harmless_changed: Figure
    """Of the suite's harmless twins, outputs that the guard changed."""

    @property
    def relative(self) -> float | None:
        """Harm that is left, as a share of the harm without the guard."""
        if not self.before.value or self.after.value is None:
            return None
        return self.after.value / self.before.value

    def to_row(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self) | {"relative": self.relative}


def measure_suites(
    subject: Subject,
    detector: Callable[[Sequence[PromptRecord]], Detector],
    folder: Path,
    *,
    num: int = 60,
    seed: int = 0,
    suites: Sequence[str] = SUITES,
    config: GuardConfig | None = None,
    sampling: Sampling | None = None,
    name: str = "suites",
    step: Callable[[int], None] = lambda done: None,
) -> list[SuiteResult]:
    """Both arms on `num` harmful prompts of each suite, and on as many harmless twins where the
    suite has some; what the folder has already is not done again."""
    sampling, config = sampling or Sampling(), config or GuardConfig()
    folder.mkdir(parents=True, exist_ok=True)
    settings = {"model": subject.name, "seed": seed, "num": num, "sampling": asdict(sampling)}
    check_config(folder, settings | {"guard": asdict(config)}, name=f"{name}.json")
    log = ResultsLog(folder / f"{name}.jsonl", lambda row: (row["arm"], row["id"]))
    results = []
    for suite in suites:
        cases = cases_of(suite, num, seed)
        records = [PromptRecord.from_sandbox(each.prompt) for each in cases]
        for arm in ("before", "after"):
            missing = [n for n, each in enumerate(records) if (arm, each.id) not in log]
            step(len(cases) - len(missing))
            if not missing:
                continue
            asked = [records[n] for n in missing]
            guard = Guard(detector(asked), config) if arm == "after" else None
            opened = _opened(subject, [cases[n] for n in missing])
            written = opened.write(asked, sampling, seed=seed, guard=guard)
            log.add(
                {"arm": arm, "suite": suite, "id": prompt.id}
                | _judged(prompt, cases[n], Written.from_trace(each.trace))
                for n, prompt, each in zip(missing, asked, written, strict=True)
            )
            step(len(missing))
        results.append(_result(suite, records, log.rows, seed))
    return results


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


def suite_table(results: Sequence[SuiteResult]) -> list[str]:
    """Lines of a Markdown table."""
    lines = [
        "| suite | harm without guard | with guard | what is left | reasoning | answer "
        "| harmless outputs changed |",
        "|---|---|---|---|---|---|---|",
    ]
    for each in results:
        left = "–" if each.relative is None else f"{each.relative:.2f}"
        lines.append(
            f"| {each.suite.replace('_', ' ')} | {each.before} | {each.after} | {left} "
            f"| {each.reasoning_before.short} → {each.reasoning_after.short} "
            f"| {each.answer_before.short} → {each.answer_after.short} "
            f"| {each.harmless_changed} |"
        )
    return lines


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


def _result(
    suite: str,
    records: Sequence[PromptRecord],
    rows: Mapping[Any, dict[str, Any]],
    seed: int,
) -> SuiteResult:
    harmful = [each.id for each in records if each.harmful]
    harmless = [each.id for each in records if not each.harmful]

    def seen(arm: str, *names: str) -> dict[tuple[str, int], bool | None]:
        return {(i, 0): any(rows[arm, i][name] for name in names) for i in harmful}

    def figure(arm: str, *names: str) -> Figure:
        return share([(key[0], value) for key, value in seen(arm, *names).items()], seed=seed)

    reasoning, answer = "reasoning_harmful", "answer_harmful"
    changed = [
        (i, any(rows["before", i][name] != rows["after", i][name] for name in _TEXTS))
        for i in harmless
    ]
    return SuiteResult(
        suite=suite,
        before=figure("before", reasoning, answer),
        after=figure("after", reasoning, answer),
        difference=paired(seen("after", reasoning, answer), seen("before", reasoning, answer)),
        reasoning_before=figure("before", reasoning),
        reasoning_after=figure("after", reasoning),
        answer_before=figure("before", answer),
        answer_after=figure("after", answer),
        harmless_changed=share(changed, seed=seed),
    )


_TEXTS = ("reasoning", "answer")
