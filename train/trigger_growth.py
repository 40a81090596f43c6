"""Triggers that grow: candidates earn their place in the pool, and strategies are compared.

A candidate is tried on the same harmful and harmless prompts as all others. It stays if it settles
at least as many continuations safely as the built-in pool does, and turns no more harmless answers
into refusals: a trigger that makes a model refuse everything is worth nothing.

`rerail train triggers --model sandbox --out DIR` prints the comparison.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from random import Random
from typing import Any

from rich.table import Table

from ..distill.run_folder import put_text
from ..guard.triggers import Trigger, TriggerPool
from .prompts import PromptRecord
from .rollout_config import RolloutConfig
from .rollout_records import Outcome, RolloutRecord
from .rollout_report import report_on
from .rollouts import RolloutTools, roll_out_all
from .trigger_mining import MiningConfig, TurningPoint, mined_triggers, turning_points
from .trigger_sources import GivenSource, PoolSource
from .trigger_writing import WrittenSource


@dataclass(frozen=True, slots=True, kw_only=True)
class GrowthConfig:
    """How candidates are tried; checked when made."""

    num_trials: int = 12
    """Harmful prompts on which each candidate is tried, and as many harmless ones."""

    max_candidates: int = 24
    """Candidates to try; of more, so many are drawn."""

    max_more_refusals: float = 0.02
    """How much larger a candidate's share of refused harmless prompts may be than the pool's."""

    min_settled: float = 0.5
    """Share of continuations that a candidate has to settle, whatever the pool does."""

    seed: int = 0
    """Of what is drawn."""

    def __post_init__(self) -> None:
        if self.num_trials < 1 or self.max_candidates < 1:
            raise ValueError("num_trials and max_candidates must be at least 1")
        for name in ("max_more_refusals", "min_settled"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ValueError(f"{name} is {getattr(self, name)}: give a share from 0 to 1")


@dataclass(frozen=True, slots=True)
class Standing:
    """How one trigger did."""

    trigger: Trigger
    num_used: int
    num_settled: int
    """Continuations on harmful prompts that it settled safely by itself."""
    num_harmless: int
    num_refused: int
    """Harmless prompts whose answer it turned into a refusal."""

    @property
    def settled(self) -> float:
        """Share of 1; 0 for one that was never used."""
        return self.num_settled / self.num_used if self.num_used else 0.0

    @property
    def refused(self) -> float:
        """Share of 1; 0 for one that was never tried on a harmless prompt."""
        return self.num_refused / self.num_harmless if self.num_harmless else 0.0


@dataclass(frozen=True, slots=True)
class Grown:
    """What came of the candidates."""

    kept: tuple[Standing, ...]
    dropped: tuple[Standing, ...]
    settled: float
    """What the built-in pool settles on the same prompts: the mean of its triggers tried."""
    refused: float
    """And what it makes refuse."""

    def pool(self) -> TriggerPool:
        """The built-in triggers and the kept ones, with what is known of their success."""
        known = {each.trigger.id for each in self.kept}
        built_in = [each for each in TriggerPool.built_in().triggers if each.id not in known]
        success = {each.trigger.id: (each.num_settled, each.num_used) for each in self.kept}
        return TriggerPool([*built_in, *(each.trigger for each in self.kept)], success)

    def write(self, path: Path) -> None:
        """The kept triggers as a file for `--triggers`."""
        rows = [
            {"id": t.id, "text": t.text, "kind": t.kind.value}
            for t in (each.trigger for each in self.kept)
        ]
        put_text(path, "".join(json.dumps(row) + "\n" for row in rows))


def trial(
    triggers: Sequence[Trigger],
    prompts: Sequence[PromptRecord],
    tools: RolloutTools,
    config: RolloutConfig,
) -> list[Standing]:
    """Each trigger once on every prompt, at the same places, with nothing to help it after."""
    num = len(triggers)
    alone = replace(config, num_triggers=num, harmless_triggers=num, max_interventions=1)
    records = _rolled(prompts, replace(tools, triggers=GivenSource(triggers)), alone)
    return [_standing(trigger, records) for trigger in triggers]


def grow(
    candidates: Sequence[Trigger],
    prompts: Sequence[PromptRecord],
    tools: RolloutTools,
    config: RolloutConfig,
    growth: GrowthConfig | None = None,
) -> Grown:
    """Tries candidates beside some of the built-in pool. Raises ValueError without candidates."""
    growth = growth or GrowthConfig()
    if not candidates:
        raise ValueError("there are no candidates: the model wrote none, or its traces never turn")
    rng = Random(f"growth/{growth.seed}")
    chosen = list(candidates)
    if len(chosen) > growth.max_candidates:
        chosen = rng.sample(chosen, growth.max_candidates)
    built_in = [each for each in TriggerPool.built_in().triggers if not each.in_answer]
    baseline = rng.sample(built_in, min(8, len(built_in)))
    asked = trial_prompts(prompts, growth.num_trials)
    standings = trial([*chosen, *baseline], asked, tools, config)
    own, others = standings[: len(chosen)], standings[len(chosen) :]
    settled = sum(each.settled for each in others) / len(others)
    refused = sum(each.refused for each in others) / len(others)
    passed = [
        each.settled >= max(settled, growth.min_settled)
        and each.refused <= refused + growth.max_more_refusals
        for each in own
    ]
    return Grown(
        tuple(each for each, kept in zip(own, passed, strict=True) if kept),
        tuple(each for each, kept in zip(own, passed, strict=True) if not kept),
        settled,
        refused,
    )


def trial_prompts(prompts: Sequence[PromptRecord], num: int) -> list[PromptRecord]:
    """The first so many harmful ones and as many harmless ones."""
    harmful = [each for each in prompts if each.harmful][:num]
    return [*harmful, *[each for each in prompts if not each.harmful][:num]]


@dataclass(frozen=True, slots=True)
class StrategyFigures:
    """One strategy on the prompts that all of them get."""

    settled: float
    """Share of first triggers that settled their branch safely."""
    accepted: float
    """Share of branches that became a pair, after however many interventions."""
    interventions: float
    """Mean number in an accepted branch."""
    tokens_per_pair: float | None
    """With what was generated to write triggers; None without pairs."""
    refused_harmless: float
    """Share of harmless answers that a trigger put in by mistake turned into refusals."""


def compare(
    train: Sequence[PromptRecord],
    test: Sequence[PromptRecord],
    tools: RolloutTools,
    config: RolloutConfig,
    growth: GrowthConfig | None = None,
    mining: MiningConfig | None = None,
) -> tuple[dict[str, StrategyFigures], Grown | None]:
    """`fixed`, `adaptive`, `generated` and `grown` on `test`; what is learned is from `train`.

    `generated` writes each trigger on the spot; `grown` is the pool with the mined and written
    candidates that have earned their place, drawn by success. None where there was no candidate.
    """
    growth = growth or GrowthConfig()
    fixed = PoolSource()
    learned = _rolled(train, replace(tools, triggers=fixed), config)
    success = report_on(learned).triggers
    writer = WrittenSource(tools.generator, tools.reader, tools.finder)
    written = _rolled(
        [each for each in train if each.harmful], replace(tools, triggers=writer), config
    )
    requests = {each.id: each.request for each in train}
    mined = mined_triggers(turning_points(learned, tools, config, mining), requests)
    candidates = {each.id: each for each in [*mined, *_general(written, requests)]}
    grown = grow(list(candidates.values()), train, tools, config, growth) if candidates else None
    sources = {
        "fixed": fixed,
        "adaptive": PoolSource(fixed.pool.adaptive(success)),
        "generated": WrittenSource(tools.generator, tools.reader, tools.finder),
    }
    if grown is not None:
        known = grown.pool()
        sources["grown"] = PoolSource(known.adaptive(success | dict(known.success or {})))
    figures = {}
    for name, source in sources.items():
        records = _rolled(test, replace(tools, triggers=source), config)
        extra = source.num_tokens if isinstance(source, WrittenSource) else 0
        figures[name] = _figures(records, extra)
    return figures, grown


def strategy_table(figures: dict[str, StrategyFigures]) -> Table:
    """One line a strategy."""
    table = Table("triggers", "settled", "accepted", "interventions", "tokens a pair", "refused")
    for name, each in figures.items():
        table.add_row(
            name,
            f"{each.settled:.1%}",
            f"{each.accepted:.1%}",
            f"{each.interventions:.2f}",
            "-" if each.tokens_per_pair is None else f"{each.tokens_per_pair:.0f}",
            f"{each.refused_harmless:.1%}",
        )
    return table


def to_row(figures: dict[str, StrategyFigures], grown: Grown | None) -> dict[str, Any]:
    """As JSON takes it."""
    row: dict[str, Any] = {name: asdict(each) for name, each in figures.items()}
    if grown is not None:
        row["candidates"] = {"kept": len(grown.kept), "dropped": len(grown.dropped)}
    return row


def _rolled(
    prompts: Sequence[PromptRecord], tools: RolloutTools, config: RolloutConfig
) -> list[RolloutRecord]:
    records: list[RolloutRecord] = []
    for _ in roll_out_all(prompts, tools, config, keep=records.append):
        pass
    return records


def _standing(trigger: Trigger, records: Sequence[RolloutRecord]) -> Standing:
    counts = {True: [0, 0], False: [0, 0]}
    for record in records:
        for branch in record.branches:
            if branch.trigger_ids[0] == trigger.id and branch.outcome is not Outcome.REPEATED:
                counts[record.harmless][0] += 1
                counts[record.harmless][1] += branch.outcome is Outcome.ACCEPTED
    return Standing(trigger, *counts[False], *counts[True])


def _general(records: Sequence[RolloutRecord], requests: dict[str, str]) -> list[Trigger]:
    """Triggers written on the spot that worked and speak of nothing but what is common."""
    points = [
        TurningPoint(record.prompt.id, branch.first_trigger, 0.0, 1.0)
        for record in records
        for branch in record.accepted
        if len(branch.trigger_ids) == 1 and branch.trigger_ids[0].startswith("own-")
    ]
    return mined_triggers(points, requests)


def _figures(records: Sequence[RolloutRecord], extra_tokens: int) -> StrategyFigures:
    report = report_on(records)
    worked = sum(settled for settled, _ in report.triggers.values())
    used = sum(number for _, number in report.triggers.values())
    stage, other = report.harmful, report.harmless
    tokens = stage.original_tokens + stage.branch_tokens + extra_tokens
    return StrategyFigures(
        settled=worked / used if used else float("nan"),
        accepted=stage.num_pairs / stage.num_branches if stage.num_branches else float("nan"),
        interventions=stage.interventions,
        tokens_per_pair=tokens / stage.num_pairs if stage.num_pairs else None,
        refused_harmless=other.num_pairs / other.num_branches
        if other.num_branches
        else float("nan"),
    )
