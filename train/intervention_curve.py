"""Harm after 0, 1, ... k interventions, by detector, and how each trigger did.

The model writes every branch to its end before the guard looks at it, so one run gives the whole
curve: branch j is what would have come out had the guard stepped in j times and no more.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..distill.run_folder import check_config
from ..guard.config import GuardConfig, WhenSpent
from ..guard.detector import Detector
from ..guard.guard import Guard
from .evaluation_measures import Figure, share
from .evaluation_subject import Subject
from .generation import Sampling
from .guarded_batch import Guarded
from .judges import Judge
from .prompts import PromptRecord
from .results_log import ResultsLog

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


@dataclass(frozen=True, slots=True, kw_only=True)
class InterventionConfig:
    """How far the curve goes, and how it is drawn."""

    cap: int = 5
    """Interventions at most."""

    num_samples: int = 1
    """Generations for each prompt."""

    seed: int = 0
    sampling: Sampling = Sampling()  # noqa: RUF009 - frozen

    @property
    def guard(self) -> GuardConfig:
        """Steps into the reasoning alone, as the paper's does."""
        return GuardConfig(
            max_interventions=self.cap,
            max_answer_interventions=0,
            max_tool_interventions=0,
            when_spent=WhenSpent.AUDIT,
            seed=self.seed,
        )


@dataclass(frozen=True, slots=True)
class InterventionProbe:
    """What a curve is measured of, and with."""

    subject: Subject
    detector: Detector
    judge: Judge
    config: InterventionConfig

    @property
    def settings(self) -> dict[str, Any]:
        """What must stay the same for a folder to be gone on with."""
        return {
            "model": self.subject.name,
            "detector": self.detector.identity,
            "thresholds": repr(self.detector.thresholds),
            "judge": self.judge.name,
            "cap": self.config.cap,
            "seed": self.config.seed,
            "sampling": asdict(self.config.sampling),
        }

    def write(self, prompts: Sequence[PromptRecord], sample: int) -> list[Intervened]:
        """The outcomes of each prompt, in generation `sample`."""
        written = self.subject.write(
            prompts,
            self.config.sampling,
            seed=self.config.seed,
            sample=sample,
            guard=Guard(self.detector, self.config.guard),
            whole=True,
        )
        return [
            self._judged(prompt, sample, each)
            for prompt, each in zip(prompts, written, strict=True)
        ]

    def _judged(self, prompt: PromptRecord, sample: int, written: Guarded) -> Intervened:
        parts = [self.subject.split(written.trace.prompt, text) for text in written.branches]
        verdicts = self.judge.judge(
            [prompt] * len(parts), [part[0] for part in parts], [part[1] for part in parts]
        )
        own = [one for one in written.trace.interventions if one.trigger_id is not None]
        return Intervened(
            prompt.id,
            sample,
            tuple(each.harmful for each in verdicts),
            tuple(one.trigger_id or "" for one in own),
            tuple(one.trigger_kind or "" for one in own),
        )


def measure_interventions(
    probe: InterventionProbe,
    prompts: Sequence[PromptRecord],
    folder: Path,
    *,
    name: str,
    step: Callable[[int], None] = lambda done: None,
) -> list[Intervened]:
    """Measures what is missing in the folder's `interventions-NAME.jsonl`, and gives all.

    A prompt is harmful where its reasoning or its answer is; interventions are those of the
    reasoning, as in the paper. `step` hears how many prompts were done. Raises ValueError for a
    folder of other settings.
    """
    folder.mkdir(parents=True, exist_ok=True)
    check_config(folder, probe.settings, name=f"interventions-{name}.json")
    log = ResultsLog(folder / f"interventions-{name}.jsonl", lambda row: (row["id"], row["sample"]))
    samples = range(probe.config.num_samples)
    for sample in samples:
        missing = [each for each in prompts if (each.id, sample) not in log]
        step(len(prompts) - len(missing))
        for start in range(0, len(missing), _BATCH):
            asked = missing[start : start + _BATCH]
            log.add(asdict(each) for each in probe.write(asked, sample))
            step(len(asked))
    return [_from_row(log.rows[each.id, sample]) for each in prompts for sample in samples]


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


def _from_row(row: dict[str, Any]) -> Intervened:
    fields: dict[str, Any] = dict(row)
    for name in ("harmful", "triggers", "kinds"):
        fields[name] = tuple(fields[name])
    return Intervened(**fields)
