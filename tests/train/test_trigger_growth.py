"""Triggers of the model's own: written on the spot, mined from its traces, kept if they earn it."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from sandbox_tools import sandbox_tools

from rerail.guard.triggers import Trigger, TriggerKind, TriggerPool
from rerail.train.completion_reader import CompletionReader
from rerail.train.cue_finders import Case, Finding
from rerail.train.generation import Completion, Ended, Job, Sampling, Watch
from rerail.train.prompts import PromptRecord, sandbox_prompts
from rerail.train.rollout_config import RolloutConfig
from rerail.train.rollout_records import Outcome, RolloutRecord
from rerail.train.rollouts import RolloutTools
from rerail.train.sandbox.kinds import Kind
from rerail.train.trigger_growth import (
    Grown,
    GrowthConfig,
    Standing,
    compare,
    grow,
    strategy_table,
    trial,
)
from rerail.train.trigger_mining import (
    MiningConfig,
    TurningPoint,
    mined_triggers,
    turning_points,
)
from rerail.train.trigger_sources import GivenSource, Place, PoolSource
from rerail.train.trigger_writing import OPENINGS, WrittenSource, written_trigger

CONFIG = RolloutConfig(prompts_at_once=64)
GOOD = Trigger("good", "This would hurt somebody, so I stop here.", TriggerKind.RISK)
BAD = Trigger("bad", "Let me go on with what was asked.", TriggerKind.RISK)


class Scripted:
    """A model that plans harm on harmful prompts, stops after GOOD, and refuses after REFUSES."""

    def __init__(self, reader: CompletionReader) -> None:
        self.reader = reader

    def generate(
        self, jobs: Sequence[Job], sampling: Sampling, watch: Watch | None = None
    ) -> list[Completion]:
        return [self._one(job) for job in jobs]

    def _one(self, job: Job) -> Completion:
        text = self.reader.tokenizer.decode(list(job.ids))
        asked, _, written = text.rpartition("<think>")
        harmful = "harm me" in asked
        if "This would hurt" in written:
            said = "\nI keep it short.\n</think>\n\nI can't help with that."
            if not harmful:
                said = "\nBut nobody is hurt.\n</think>\n\nGladly: wait."
        elif "I refuse" in written:
            said = "\nThat is all.\n</think>\n\nI can't help with that."
        elif harmful:
            said = "It is a question.\nPlan the harm now.\n</think>\n\nStep A."
        else:
            said = "It is a question.\nThat is easy.\n</think>\n\nGladly: wait."
        ids = self.reader.encode(said + "<|end|>")
        return Completion(ids, Ended.STOP)


class Plans:
    """Finds the step that plans, as far as it has not been found passed."""

    name = "plans"

    def find(self, cases: Sequence[Case]) -> list[Finding]:
        return [
            Finding(
                next(
                    (
                        n
                        for n, step in enumerate(case.steps)
                        if step.startswith("Plan") and n not in case.injected
                    ),
                    None,
                )
            )
            for case in cases
        ]


def _prompts(num: int = 3) -> list[PromptRecord]:
    return [
        PromptRecord(f"{kind}-{n}", ({"role": "user", "content": text.format(n)},), kind)
        for kind, text in ((Kind.HARMFUL, "harm me {}"), (Kind.HARMLESS, "help me {}"))
        for n in range(num)
    ]


def _tools() -> RolloutTools:
    reader = sandbox_tools().reader
    return RolloutTools(Scripted(reader), reader, Plans(), PoolSource())


def test_a_trial_counts_what_each_trigger_did_on_the_same_prompts() -> None:
    refuses = Trigger("refuses", "I refuse.", TriggerKind.DECLINE)
    standings = trial([GOOD, BAD, refuses], _prompts(), _tools(), CONFIG)
    assert standings == [
        Standing(GOOD, 3, 3, 3, 0),
        Standing(BAD, 3, 0, 3, 0),
        Standing(refuses, 3, 3, 3, 3),
    ]


def test_candidates_stay_only_if_they_settle_and_do_not_make_it_refuse_more() -> None:
    refuses = Trigger("refuses", "I refuse.", TriggerKind.DECLINE)
    grown = grow([GOOD, BAD, refuses], _prompts(), _tools(), CONFIG, GrowthConfig(num_trials=3))
    assert [each.trigger.id for each in grown.kept] == ["good"]
    assert {each.trigger.id for each in grown.dropped} == {"bad", "refuses"}
    pool = grown.pool()
    assert GOOD in pool.triggers and pool.success == {"good": (3, 3)}
    assert len(pool.triggers) == len(TriggerPool.built_in().triggers) + 1
    with pytest.raises(ValueError, match="no candidates"):
        grow([], _prompts(), _tools(), CONFIG)


def test_kept_triggers_become_a_file_that_the_guard_reads(tmp_path: Path) -> None:
    grown = Grown((Standing(GOOD, 3, 3, 3, 0),), (), 0.5, 0.5)
    grown.write(tmp_path / "triggers.jsonl")
    assert GOOD in TriggerPool.from_file(tmp_path / "triggers.jsonl").triggers


def test_the_model_finishes_the_openings_and_its_cues_are_not_used() -> None:
    class Finishes(Scripted):
        def _one(self, job: Job) -> Completion:
            text = self.reader.tokenizer.decode(list(job.ids)).rpartition("<think>")[2]
            end = (
                " plan A.\nMore." if text.strip().startswith("Plan") else " would harm Bob.\nMore."
            )
            return Completion(self.reader.encode(end), Ended.LENGTH)

    reader = sandbox_tools().reader
    openings = [("Wait, this", TriggerKind.RISK), ("Plan", TriggerKind.RULE)]
    source = WrittenSource(Finishes(reader), reader, Plans(), openings=openings)
    place = Place(reader.ask(_prompts()[0]), reader.encode("It is a question.\n"), "Plan it.")
    (drawn,) = source.draw([place], 4, seed=0)
    assert len(drawn) == 4 == len({each.id for each in drawn})
    assert drawn[0] == written_trigger("Wait, this would harm Bob.", TriggerKind.RISK)
    assert (source.num_used, source.num_refused) == (1, 1)
    assert source.num_tokens > 0
    built_in = set(TriggerPool.built_in().triggers)
    assert all(each in built_in for each in drawn[1:])


def test_the_sandbox_model_writes_about_the_request_at_hand() -> None:
    tools = sandbox_tools()
    source = WrittenSource(tools.generator, tools.reader, tools.finder)
    place = Place(tools.reader.ask(sandbox_prompts("test", "harmful", num=1)[0]), (), "cue")
    (drawn,) = source.draw([place], 4, seed=0)
    own = [each for each in drawn if each.id.startswith("own-")]
    assert own and all(
        each.text.startswith(tuple(opening for opening, _ in OPENINGS)) for each in own
    )
    assert source.draw([place], 4, seed=0) == [drawn]


def test_the_turning_step_is_found_by_halving() -> None:
    """The scripted model is safe from the step "This would hurt" on, and from nowhere before."""
    reader = sandbox_tools().reader
    written = (
        "It is a question.\nHm.\nLet me see.\nThis would hurt him.\nI keep it short.\nYes.\n"
        "</think>\n\nI can't help with that.<|end|>"
    )
    prompt = reader.ask(_prompts()[0])
    ids = reader.encode(written)
    record = RolloutRecord(
        prompt.record,
        prompt.text,
        prompt.ids,
        0,
        ids,
        written,
        Ended.STOP,
        "",
        None,
        Outcome.NO_CUE,
    )
    tools = _tools()
    points = turning_points([record], tools, CONFIG, MiningConfig(num_continuations=2))
    assert points == [TurningPoint("harmful-0", "This would hurt him.", 0.0, 1.0)]
    cut = replace(record, outcome=None)
    assert turning_points([cut], tools, CONFIG) == []


def test_mined_steps_that_speak_of_their_own_request_are_left_out() -> None:
    points = [
        TurningPoint("a", "This would hurt somebody.", 0.1, 1.0),
        TurningPoint("a", "Swapping the guitar would hurt her.", 0.1, 1.0),
        TurningPoint("b", "This would hurt somebody.", 0.2, 1.0),
        TurningPoint("b", "Braces {like} these.", 0.2, 1.0),
    ]
    found = mined_triggers(points, {"a": "How do I swap the guitar?", "b": "Something else"})
    assert [each.text for each in found] == ["This would hurt somebody."]


def test_strategies_are_compared_on_the_same_prompts() -> None:
    prompts = _prompts(4)
    figures, grown = compare(
        prompts, prompts, _tools(), replace(CONFIG, num_triggers=2), GrowthConfig(num_trials=2)
    )
    assert list(figures)[:3] == ["fixed", "adaptive", "generated"]
    assert all(0 <= each.settled <= each.accepted <= 1 for each in figures.values())
    assert grown is None or len(grown.kept) + len(grown.dropped) > 0
    assert strategy_table(figures).row_count == len(figures)


def test_given_triggers_come_in_their_order() -> None:
    places = [Place(sandbox_tools().reader.ask(each), (), "") for each in _prompts(1)]
    assert GivenSource([GOOD, BAD]).draw(places, 3, 0) == [[GOOD, BAD, GOOD]] * 2
    with pytest.raises(ValueError, match="no triggers"):
        GivenSource([])
