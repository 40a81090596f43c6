"""Harm after 0, 1, ... k interventions, by detector, and how each trigger did.

The model writes every branch to its end before the guard looks at it, so one run gives the whole
curve: branch j is what would have come out had the guard stepped in j times and no more.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..guard.config import GuardConfig, WhenSpent
from ..guard.detector import Detector
from ..guard.guard import Guard
from .evaluation_measures import Figure, share
from .evaluation_subject import Subject
from .generation import Sampling
from .judges import Judge
from .prompts import PromptRecord
from .results_log import ResultsLog
from .run_folder import check_config

_BATCH = 32


@dataclass(frozen=True, slots=True)
class Intervened:
    """One prompt under one detector."""

    id: str
    sample: int
    harmful: tuple[bool | None, ...]
    """Whether the outcome is harmful after 0, 1, ... interventions; ends where the detector found
    nothing more, or at the cap."""

    triggers: tuple[str, ...]
    """Ids of the triggers put in, one for each intervention."""

    kinds: tuple[str, ...]
    """Their kinds."""

    def after(self, num: int) -> bool | None:
        """Whether it is harmful after at most `num` interventions."""
        return self.harmful[min(num, len(self.harmful) - 1)]


def measure_interventions(
    subject: Subject,
    prompts: Sequence[PromptRecord],
    detector: Detector,
    judge: Judge,
    folder: Path,
    *,
    name: str,
    cap: int = 5,
    num_samples: int = 1,
    seed: int = 0,
    sampling: Sampling | None = None,
    step: Callable[[int], None] = lambda done: None,
) -> list[Intervened]:
    """Measures what is missing in the folder's `interventions-NAME.jsonl`, and gives all.

    A prompt is harmful where its reasoning or its answer is; interventions are those of the
    reasoning, as in the paper.
    """
    sampling = sampling or Sampling()
    folder.mkdir(parents=True, exist_ok=True)
    settings = {
        "model": subject.name,
        "detector": detector.identity,
        "thresholds": repr(detector.thresholds),
        "judge": judge.name,
        "cap": cap,
        "seed": seed,
        "sampling": asdict(sampling),
    }
    check_config(folder, settings, name=f"interventions-{name}.json")
    log = ResultsLog(folder / f"interventions-{name}.jsonl", lambda row: (row["id"], row["sample"]))
    config = GuardConfig(
        max_interventions=cap,
        max_answer_interventions=0,
        max_tool_interventions=0,
        when_spent=WhenSpent.AUDIT,
        seed=seed,
    )
    for sample in range(num_samples):
        missing = [each for each in prompts if (each.id, sample) not in log]
        step(len(prompts) - len(missing))
        for start in range(0, len(missing), _BATCH):
            asked = missing[start : start + _BATCH]
            guard = Guard(detector, config)
            written = subject.write(
                asked, sampling, seed=seed, sample=sample, guard=guard, whole=True
            )
            rows = []
            for prompt, each in zip(asked, written, strict=True):
                parts = [subject.split(each.trace.prompt, text) for text in each.branches]
                verdicts = judge.judge(
                    [prompt] * len(parts), [part[0] for part in parts], [part[1] for part in parts]
                )
                own = [one for one in each.trace.interventions if one.trigger_id is not None]
                rows.append(
                    Intervened(
                        prompt.id,
                        sample,
                        tuple(_harmful(v.reasoning_harmful, v.answer_harmful) for v in verdicts),
                        tuple(one.trigger_id or "" for one in own),
                        tuple(one.trigger_kind or "" for one in own),
                    )
                )
            log.add(asdict(row) for row in rows)
            step(len(asked))
    wanted = [(each.id, sample) for each in prompts for sample in range(num_samples)]
    return [_from_row(log.rows[key]) for key in wanted]


def curve(found: Sequence[Intervened], cap: int, *, harmful_only: bool = False) -> list[Figure]:
    """Harm after 0 ... cap interventions; `harmful_only`: of the prompts harmful without any, as
    the paper counts."""
    counted = [each for each in found if not harmful_only or each.after(0)]
    return [share([(each.id, each.after(num)) for each in counted]) for num in range(cap + 1)]


def by_trigger(found: Sequence[Intervened], *, kinds: bool = False) -> dict[str, Figure]:
    """For each trigger, or kind of trigger, the share of its uses after which all was safe."""
    observed: dict[str, list[tuple[str, bool | None]]] = defaultdict(list)
    for each in found:
        names = each.kinds if kinds else each.triggers
        for number, name in enumerate(names):
            if number + 1 < len(each.harmful):
                outcome = each.harmful[number + 1]
                observed[name].append((each.id, None if outcome is None else not outcome))
    return {name: share(values) for name, values in sorted(observed.items())}


def report_rows(by_detector: Mapping[str, Sequence[Intervened]], cap: int) -> dict[str, Any]:
    """The curves, detectors' end points and triggers as JSON."""
    return {
        name: {
            "harm": [each.to_row() for each in curve(found, cap)],
            "harm_of_harmful": [each.to_row() for each in curve(found, cap, harmful_only=True)],
            "by_kind": {k: v.to_row() for k, v in by_trigger(found, kinds=True).items()},
            "by_trigger": {k: v.to_row() for k, v in by_trigger(found).items()},
        }
        for name, found in by_detector.items()
    }


def _harmful(reasoning: bool | None, answer: bool | None) -> bool | None:
    if reasoning or answer:
        return True
    return None if reasoning is None and answer is None else False


def _from_row(row: dict[str, Any]) -> Intervened:
    fields: dict[str, Any] = dict(row)
    for name in ("harmful", "triggers", "kinds"):
        fields[name] = tuple(fields[name])
    return Intervened(**fields)
