"""Rollouts: prompts → original traces → first cue → rollback, trigger, continuation → verdicts.

One chunk of prompts goes through together, each arrow one batch. Harmless prompts go through too,
the other way round: a trigger is put into the model's own good answer, and what becomes a refusal
is what stage 2 teaches to leave (METHOD: stage 2).
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from .completion_reader import CompletionReader
from .cue_finders import CueFinder
from .generation import Completion, Ended, Generator, Job, Watch
from .judges import Judge, RefusalKeywords
from .prompts import PromptRecord
from .rollout_branches import BranchRun, rollout_record, take_triggers_out
from .rollout_config import RolloutConfig
from .rollout_records import Cue, Outcome, RolloutRecord
from .rollout_retries import retry, with_retry
from .rollout_verdicts import fault_of_answer, is_harmless, verdicts_of
from .rollout_watch import CueWatch, RefusalWatch, Run, SettledWatch, look, write
from .trigger_sources import Place, TriggerSource


@dataclass(frozen=True, slots=True)
class RolloutTools:
    """Everything that rollouts are made with."""

    generator: Generator
    reader: CompletionReader
    finder: CueFinder
    triggers: TriggerSource
    judge: Judge | None = None
    """Has to agree with the finder, where there is one."""

    refusals: Judge = RefusalKeywords()  # noqa: RUF009 - it has no state
    """Says whether an answer to a harmless prompt refuses, where `judge` does not."""


def roll_out(
    prompts: Sequence[PromptRecord], tools: RolloutTools, config: RolloutConfig
) -> list[RolloutRecord]:
    """The record of each prompt, in order; nothing here depends on the other prompts."""
    runs = [Run(prompt, tools.reader.read(prompt)) for prompt in map(tools.reader.ask, prompts)]
    originals = _originals(runs, tools, config)
    outcomes = _judge_originals(runs, originals, tools)
    cut = [run for run, outcome in zip(runs, outcomes, strict=True) if outcome is None]
    branches = _planned(cut, tools, config)
    _regenerate(branches, tools, config)
    _judge_branches(branches, tools)
    if config.own_words:
        take_triggers_out(branches, declining=config.declining)
    records = [
        rollout_record(
            run, original, outcome, [each for each in branches if each.owner is run], config
        )
        for run, original, outcome in zip(runs, originals, outcomes, strict=True)
    ]
    refused = [number for number, outcome in enumerate(outcomes) if outcome is Outcome.OWN_REFUSAL]
    retries = retry(
        [runs[number] for number in refused],
        [originals[number] for number in refused],
        tools.generator,
        (tools.judge, tools.refusals),
        config,
    )
    for number, found in zip(refused, retries, strict=True):
        records[number] = with_retry(records[number], found)
    return records


def roll_out_all(
    prompts: Sequence[PromptRecord],
    tools: RolloutTools,
    config: RolloutConfig,
    *,
    keep: Callable[[RolloutRecord], None],
) -> Iterator[int]:
    """Rolls out chunk by chunk, hands every record to `keep`, and says how many are done."""
    for start in range(0, len(prompts), config.prompts_at_once):
        chunk = prompts[start : start + config.prompts_at_once]
        for record in roll_out(chunk, tools, config):
            keep(record)
        yield len(chunk)


def _originals(runs: Sequence[Run], tools: RolloutTools, config: RolloutConfig) -> list[Completion]:
    """Generates the originals, and looks for their first cues; harmless ones go to their end."""
    made: dict[int, Completion] = {}
    for harmless in (False, True):
        chosen = [n for n, run in enumerate(runs) if is_harmless(run) is harmless]
        group = [runs[number] for number in chosen]
        watch = None
        if not harmless and config.original_tail is not None:
            watch = CueWatch(group, tools.finder, config.original_tail, config.look_every)
        jobs = [Job(run.prompt.ids, run.prompt.seed("original", config.seed)) for run in group]
        completions = write(jobs, group, tools.generator, config.sampling, watch)
        made.update(zip(chosen, completions, strict=True))
    look([run for run in runs if not is_harmless(run)], tools.finder)
    return [made[number] for number in range(len(runs))]


def _judge_originals(
    runs: Sequence[Run], originals: Sequence[Completion], tools: RolloutTools
) -> list[Outcome | None]:
    """Why a prompt gets no branches; None if it gets some."""
    outcomes: list[Outcome | None] = []
    verdicts = verdicts_of(runs, tools.judge, tools.refusals)
    for run, original, verdict in zip(runs, originals, verdicts, strict=True):
        if not original.ids:
            outcomes.append(Outcome.PROMPT_TOO_LONG)
        elif is_harmless(run):
            outcomes.append(fault_of_answer(run, original, verdict))
        elif run.cue is None:
            outcomes.append(Outcome.NO_CUE if run.failed is None else Outcome.DETECTOR_FAILED)
        elif tools.judge is None:
            outcomes.append(None)
        else:
            harmful = verdict.harmful
            failed = Outcome.JUDGE_FAILED if harmful is None else Outcome.ORIGINAL_JUDGED_HARMLESS
            outcomes.append(None if harmful else failed)
    return outcomes


def _planned(runs: Sequence[Run], tools: RolloutTools, config: RolloutConfig) -> list[BranchRun]:
    """The branches of the runs, their first triggers in place."""
    cues = []
    for run in runs:
        if is_harmless(run):
            steps = run.reading.judged_steps[: config.early_steps]
            run.cue = steps[run.prompt.seed("place", config.seed) % len(steps)]
        assert run.cue is not None
        keep = run.reading.cut(run.cue)[0]
        cues.append(Cue(run.cue_position, run.cue.text, keep, run.probability))
    places = [
        Place(run.prompt, run.reading.ids[: cue.keep], cue.text)
        for run, cue in zip(runs, cues, strict=True)
    ]
    # The first so many begin the branches; each goes on with those that follow its own.
    num_first = max(config.num_triggers, config.harmless_triggers)
    drawn = tools.triggers.draw(places, num_first + config.max_interventions, config.seed)
    branches = []
    for run, cue, triggers in zip(runs, cues, drawn, strict=True):
        num = config.harmless_triggers if is_harmless(run) else config.num_triggers
        for number, trigger in enumerate(triggers[:num]):
            others = [each for each in triggers[number + 1 :] if each.id != trigger.id]
            text = trigger.render(run.prompt.record.request, cue.text)
            new = run.intervened(text)
            branches.append(
                BranchRun(run, cue, others, new, [trigger.id], number=number, first_trigger=text)
            )
    return branches


def _regenerate(branches: Sequence[BranchRun], tools: RolloutTools, config: RolloutConfig) -> None:
    """Generates all branches; those with another cue are intervened in again, up to the cap."""
    alive = list(branches)
    while alive:
        again: list[BranchRun] = []
        for harmless in (False, True):
            group = [each for each in alive if is_harmless(each.run) is harmless]
            runs = [each.run for each in group]
            watch = _watch(runs, harmless, tools, config)
            jobs = [_job(each, config) for each in group]
            made = write(jobs, runs, tools.generator, config.sampling, watch)
            if not harmless:
                look(runs, tools.finder)
            for branch, completion in zip(group, made, strict=True):
                branch.num_sampled += len(completion.ids)
                branch.ended = completion.ended
                branch.outcome = _outcome(branch, config)
                if branch.outcome is None and branch.run.cue is not None:
                    again.append(branch)
        for branch in again:
            _intervene(branch)
        alive = again


def _watch(
    runs: Sequence[Run], harmless: bool, tools: RolloutTools, config: RolloutConfig
) -> Watch | None:
    if config.settled_steps is None:
        return None
    if harmless:
        return RefusalWatch(runs, config.settled_steps, config.look_every)
    return SettledWatch(runs, tools.finder, config.settled_steps, config.look_every)


def _job(branch: BranchRun, config: RolloutConfig) -> Job:
    prompt, reading = branch.run.prompt, branch.run.reading
    return Job(
        prompt.ids + reading.ids,
        prompt.seed("branch", config.seed, branch.number, len(branch.used)),
        max_new_tokens=max(1, config.max_new_tokens - len(reading)),
        shared=len(prompt.ids) + branch.cue.keep,
    )


def _outcome(branch: BranchRun, config: RolloutConfig) -> Outcome | None:
    """What is known of a branch without the judge; None: to be judged, or intervened in again."""
    if branch.run.failed is not None:
        return Outcome.DETECTOR_FAILED
    if branch.run.cue is not None:
        spent = len(branch.used) >= config.max_interventions or not branch.triggers
        return Outcome.STILL_UNSAFE if spent else None
    return Outcome.TOO_LONG if branch.ended is Ended.LENGTH else None


def _intervene(branch: BranchRun) -> None:
    old, trigger = branch.run, branch.triggers.pop(0)
    assert old.cue is not None
    text = trigger.render(old.prompt.record.request, old.cue.text)
    new = old.intervened(text)
    new.num_detector_tokens = old.num_detector_tokens
    branch.run = new
    branch.used.append(trigger.id)


def _judge_branches(branches: Sequence[BranchRun], tools: RolloutTools) -> None:
    """The last word on every branch."""
    seen: dict[tuple[int, tuple[int, ...]], BranchRun] = {}
    open_ones = [each for each in branches if each.outcome is None]
    for branch, verdict in zip(
        open_ones,
        verdicts_of([each.run for each in open_ones], tools.judge, tools.refusals),
        strict=True,
    ):
        identity = (id(branch.owner), branch.run.reading.ids)
        if seen.setdefault(identity, branch) is not branch:
            branch.outcome = Outcome.REPEATED
        elif is_harmless(branch.run):
            refused = verdict.refused or branch.ended is Ended.WATCH
            branch.outcome = Outcome.ACCEPTED if refused else Outcome.DID_NOT_REFUSE
        elif tools.judge is None:
            branch.outcome = Outcome.ACCEPTED
        else:
            harmful = verdict.harmful
            failed = Outcome.JUDGE_FAILED if harmful is None else Outcome.JUDGED_HARMFUL
            branch.outcome = Outcome.ACCEPTED if harmful is False else failed
