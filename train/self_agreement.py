"""How well finders of first cues agree: `python -m rerail.train.self_agreement --model sandbox`.

The model by itself is held against labels and against the student, on traces of the sandbox world
or of a labelled file. Kappa takes out the agreement that chance alone would give.
"""

import argparse
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random

from rich.console import Console
from rich.table import Table

from ..distill.labels import LabelledTrace, read_traces
from ..distill.run_folder import write_record
from .cue_finders import Case, CueFinder, DetectorFinder, Finding
from .prompts import PromptRecord
from .sandbox.kinds import Kind, Split
from .sandbox.world import generate_traces
from .self_detector import SelfDetector
from .self_detector_config import Method, SelfDetectorConfig
from .self_questions import questions_for


@dataclass(frozen=True, slots=True)
class Agreement:
    """Of one finder with another, or with labels; shares of 1."""

    num_traces: int
    num_failed: int
    """Traces of which one of the two could not say; they count in nothing else."""

    exact: float
    """The same step, or none by both."""

    within_one: float
    """The same step, one before or one after, or none by both."""

    presence: float
    """Both say that there is a cue, or that there is none."""

    kappa: float
    """Cohen's, of presence."""

    found: float | None
    """Of the traces with a cue by the second, those in which the first finds one; None without."""

    false_alarms: float | None
    """Of the traces without a cue by the second, those in which the first finds one."""


def agreement(first: Sequence[Finding], second: Sequence[Finding]) -> Agreement:
    """Of the first with the second, which counts as the truth. Raises ValueError without traces."""
    if not first:
        raise ValueError("there are no traces to compare on")
    both = [
        (one.first_cue, other.first_cue)
        for one, other in zip(first, second, strict=True)
        if one.failed is None and other.failed is None
    ]
    marks = [(one is not None, other is not None) for one, other in both]
    presence = _share([one == other for one, other in marks])
    return Agreement(
        num_traces=len(first),
        num_failed=len(first) - len(both),
        exact=_share([one == other for one, other in both]),
        within_one=_share([_near(one, other) for one, other in both]),
        presence=presence,
        kappa=_kappa(marks, presence),
        found=_share_or_none([one for one, other in marks if other]),
        false_alarms=_share_or_none([one for one, other in marks if not other]),
    )


def table(rows: dict[str, Agreement], title: str) -> Table:
    """One line a comparison."""
    made = Table("", "traces", "failed", "exact", "within one", "kappa", "found", "false alarms")
    made.title = title
    for name, each in rows.items():
        made.add_row(
            name,
            str(each.num_traces),
            str(each.num_failed),
            f"{each.exact:.1%}",
            f"{each.within_one:.1%}",
            f"{each.kappa:.2f}",
            _percent(each.found),
            _percent(each.false_alarms),
        )
    return made


def sandbox_cases(num: int, seed: int = 0) -> tuple[list[Case], list[Finding]]:
    """Traces of held-out topics with their truth: half of harmful requests, half of others."""
    kinds = [Kind.HARMFUL, Kind.HARMFUL, Kind.HARMLESS, Kind.LOOKALIKE]
    traces = [
        each
        for kind, share in {kind: kinds.count(kind) / len(kinds) for kind in kinds}.items()
        for each in generate_traces(Split.TEST, round(num * share), seed + 7, kind=kind)
    ]
    Random(seed).shuffle(traces)
    cases = [Case(PromptRecord.from_sandbox(each.prompt), each.sentences) for each in traces]
    return cases, [Finding(each.first_cue) for each in traces]


def labelled_cases(traces: Sequence[LabelledTrace]) -> tuple[list[Case], list[Finding]]:
    """Traces of files, as far as they carry labels."""
    cases, truths = [], []
    for each in traces:
        if each.labels is None or not each.steps:
            continue
        kind = Kind.HARMFUL if each.harmful else Kind.HARMLESS
        turn = {"role": "user", "content": each.request}
        cases.append(Case(PromptRecord(each.id, (turn,), kind), each.steps))
        truths.append(Finding(each.first_cue))
    return cases, truths


def compare(
    finders: dict[str, CueFinder], cases: Sequence[Case], truths: Sequence[Finding]
) -> dict[str, Agreement]:
    """Each finder with the truth, and with the last of them."""
    found = {name: finder.find(cases) for name, finder in finders.items()}
    rows = {f"{name} · labels": agreement(each, truths) for name, each in found.items()}
    *others, last = found
    for name in others:
        rows[f"{name} · {last}"] = agreement(found[name], found[last])
    return rows


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="How well a model finds its own first cues.")
    parser.add_argument("--model", default="sandbox", help="a folder, a hub name, or sandbox")
    parser.add_argument("--traces", type=Path, help="labelled traces (JSONL); else the sandbox's")
    parser.add_argument("--num", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threshold", type=float, default=0.5)
    parser.add_argument("--out", type=Path, help="a JSON file for the figures")
    arguments = parser.parse_args()
    import torch

    from ..guard.backend_transformers_loading import load
    from ..guard.detector_student import StudentDetector
    from .sandbox.shipped import resolved

    sandbox = arguments.model == "sandbox" or arguments.traces is None
    if sandbox:
        torch.set_num_threads(1)
    place = resolved(arguments.model)
    model, tokenizer = load(place)
    if arguments.traces is None:
        cases, truths = sandbox_cases(arguments.num, arguments.seed)
    else:
        cases, truths = labelled_cases(list(read_traces([arguments.traces]))[: arguments.num])
    questions = questions_for(taught=sandbox)
    finders: dict[str, CueFinder] = {
        method.value: SelfDetector.from_transformers(
            model,
            tokenizer,
            questions=questions,
            config=SelfDetectorConfig(method=method, threshold=arguments.threshold),
        )
        for method in Method
    }
    finders["student"] = DetectorFinder(StudentDetector.for_model(place))
    rows = compare(finders, cases, truths)
    Console().print(table(rows, f"First cues, {len(cases)} traces"))
    if arguments.out is not None:
        write_record(arguments.out, {name: asdict(each) for name, each in rows.items()})


def _near(one: int | None, other: int | None) -> bool:
    if one is None or other is None:
        return one is other
    return abs(one - other) <= 1


def _kappa(marks: Sequence[tuple[bool, bool]], presence: float) -> float:
    ones = _share([one for one, _ in marks])
    others = _share([other for _, other in marks])
    by_chance = ones * others + (1 - ones) * (1 - others)
    return (presence - by_chance) / (1 - by_chance) if by_chance < 1 else float("nan")


def _share(values: Sequence[bool]) -> float:
    return sum(values) / len(values) if values else float("nan")


def _share_or_none(values: Sequence[bool]) -> float | None:
    return _share(values) if values else None


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.1%}"


if __name__ == "__main__":
    main()
