"""Triggers mined from a model's own safe traces: the step at which the continuations turn safe.

The turning point is looked for step by step instead of token by token, and by halving: the share of
safe continuations (CSR) hardly ever falls again once a trace has turned, so a trace of n steps
needs about log n positions.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from ..guard.channels import Channel
from ..guard.triggers import Trigger, TriggerKind
from .completion_reader import AskedPrompt, Reading
from .generation import Ended, Job
from .rollout_config import RolloutConfig
from .rollout_records import Outcome, RolloutRecord
from .rollout_watch import Run, SettledWatch, look
from .rollouts import RolloutTools
from .trigger_writing import written_trigger

_WORD = re.compile(r"[^\W\d_]{5,}")


@dataclass(frozen=True, slots=True, kw_only=True)
class MiningConfig:
    """How turning points are found; the paper's limits."""

    num_continuations: int = 8
    """Fresh continuations a position (the paper: 32, at every token)."""

    turned: float = 0.9
    """Share of safe continuations from which a trace has turned."""

    before: float = 0.6
    """At most this share before the step, so that it was this step that turned the trace."""

    max_traces: int = 64
    """Safe traces to look at."""

    def __post_init__(self) -> None:
        if self.num_continuations < 1 or self.max_traces < 1:
            raise ValueError("num_continuations and max_traces must be at least 1")
        if not 0 <= self.before < self.turned <= 1:
            raise ValueError("before and turned are shares, and before the smaller one")


@dataclass(frozen=True, slots=True)
class TurningPoint:
    """Where one trace turned safe."""

    prompt_id: str
    step: str
    ratio_before: float
    ratio_after: float


@dataclass(slots=True)
class _Search:
    """One trace under search: it has not turned before step `low`, and has after step `high`."""

    prompt: AskedPrompt
    reading: Reading
    low: int
    high: int
    ratios: dict[int, float]


def turning_points(
    records: Sequence[RolloutRecord],
    tools: RolloutTools,
    config: RolloutConfig,
    mining: MiningConfig | None = None,
) -> list[TurningPoint]:
    """Of the originals on harmful prompts that stayed safe by themselves."""
    mining = mining or MiningConfig()
    searches = []
    for record in records:
        if record.outcome is not Outcome.NO_CUE or record.original_ended is Ended.LENGTH:
            continue
        prompt = tools.reader.ask(record.prompt)
        reading = tools.reader.read(prompt, record.original_ids)
        reading.end()
        searches.append(_Search(prompt, reading, 0, len(reading.judged_steps), {}))
    searches = searches[: mining.max_traces]
    _measure(searches, [0] * len(searches), tools, config, mining)
    # Where the model is safe from the first token on there is no step that made it so.
    searches = [each for each in searches if each.ratios[0] <= mining.before]
    while open_ones := [each for each in searches if each.high - each.low > 1]:
        middles = [(each.low + each.high) // 2 for each in open_ones]
        _measure(open_ones, middles, tools, config, mining)
        for each, middle in zip(open_ones, middles, strict=True):
            if each.ratios[middle] >= mining.turned:
                each.high = middle
            else:
                each.low = middle
    return [
        TurningPoint(
            each.prompt.record.id,
            each.reading.judged_steps[each.low].text,
            each.ratios[each.low],
            each.ratios.get(each.high, 1.0),
        )
        for each in searches
        if each.reading.judged_steps and each.ratios[each.low] <= mining.before
    ]


def mined_triggers(points: Sequence[TurningPoint], requests: dict[str, str]) -> list[Trigger]:
    """The steps as triggers, once each, but for those that speak of their own request's matter:
    they would make no sense elsewhere. `requests` are texts by the id of their prompt."""
    found: dict[str, Trigger] = {}
    for point in points:
        matter = set(map(str.lower, _WORD.findall(requests[point.prompt_id])))
        words = set(map(str.lower, _WORD.findall(point.step)))
        if matter & words or set(point.step) & set("{}<>|"):
            continue
        trigger = written_trigger(point.step, TriggerKind.RISK)
        found.setdefault(trigger.id, trigger)
    return list(found.values())


def _measure(
    searches: Sequence[_Search],
    positions: Sequence[int],
    tools: RolloutTools,
    config: RolloutConfig,
    mining: MiningConfig,
) -> None:
    """The share of safe continuations from before the step at each position."""
    runs: list[Run] = []
    jobs = []
    for each, position in zip(searches, positions, strict=True):
        steps = each.reading.judged_steps
        ids = each.reading.ids
        if position < len(steps):
            ids = ids[: each.reading.cut(steps[position])[0]]
        for number in range(mining.num_continuations):
            run = Run(each.prompt, tools.reader.read(each.prompt, ids))
            run.start, run.passed = len(run.reading), min(position, len(run.reading.judged_steps))
            runs.append(run)
            jobs.append(
                Job(
                    each.prompt.ids + ids,
                    each.prompt.seed("turning", config.seed, position, number),
                    max_new_tokens=max(1, config.max_new_tokens - len(ids)),
                )
            )
    watch = SettledWatch(runs, tools.finder, None, config.look_every)
    completions = tools.generator.generate(jobs, config.sampling, watch) if jobs else []
    for run, completion in zip(runs, completions, strict=True):
        run.take(completion.ids)
        if completion.ended is not Ended.WATCH:
            run.reading.end()
    look(runs, tools.finder)
    safe = _safe(runs, tools)
    num = mining.num_continuations
    for index, (each, position) in enumerate(zip(searches, positions, strict=True)):
        each.ratios[position] = sum(safe[index * num : (index + 1) * num]) / num


def _safe(runs: Sequence[Run], tools: RolloutTools) -> list[bool]:
    """No cue, and no harm in the answer for a judge, where there is one; failures are not safe."""
    calm = [run.cue is None and run.failed is None for run in runs]
    if tools.judge is None:
        return calm
    verdicts = tools.judge.judge(
        [run.prompt.record for run in runs],
        [run.reading.text_of(Channel.REASONING) for run in runs],
        [run.reading.answer for run in runs],
    )
    return [
        each and not verdict.answer_harmful for each, verdict in zip(calm, verdicts, strict=True)
    ]
