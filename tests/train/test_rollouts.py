"""Rollouts of the real sandbox model: exact ids, reasons, economy, and going on after a kill."""

import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from sandbox_tools import sandbox_tools

from rerail.train.cue_finders import Case, ExactFinder, Finding
from rerail.train.generation import Completion, Ended, Job, Sampling, Watch
from rerail.train.judges import Verdict
from rerail.train.own_words import declines
from rerail.train.prompts import PromptRecord, sandbox_prompts
from rerail.train.rollout_config import RolloutConfig
from rerail.train.rollout_records import Outcome, RolloutRecord
from rerail.train.rollout_report import report_on
from rerail.train.rollout_run import run_rollouts
from rerail.train.rollout_store import read_rollouts
from rerail.train.rollouts import roll_out

CONFIG = RolloutConfig(num_triggers=2, look_every=8)
"""The defaults are the same in kind, and slower."""

PROMPTS = sandbox_prompts("train", "harmful", num=6) + sandbox_prompts("train", "lookalike", num=3)


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def records() -> list[RolloutRecord]:
    return roll_out(PROMPTS, sandbox_tools(), CONFIG)


class Says:
    """A finder or judge that always says the same, and remembers what it was asked."""

    name = "says"

    def __init__(self, finding: Finding = Finding(None), verdict: Verdict = Verdict()) -> None:  # noqa: B008
        self.finding, self.verdict = finding, verdict
        self.cases: list[Case] = []

    def find(self, cases: Sequence[Case]) -> list[Finding]:
        self.cases += cases
        return [self.finding] * len(cases)

    def judge(
        self, prompts: Sequence[PromptRecord], reasonings: Sequence[str], answers: Sequence[str]
    ) -> list[Verdict]:
        return [self.verdict] * len(prompts)


def test_both_sides_share_their_prefix_to_the_id(records: list[RolloutRecord]) -> None:
    assert sum(len(each.accepted) for each in records) >= 6
    decode = sandbox_tools().reader.tokenizer.decode
    for record in records:
        for branch in record.branches:
            assert record.cue is not None
            keep = record.cue.keep
            assert branch.ids[:keep] == record.original_ids[:keep]
            assert branch.ids[keep:] != record.original_ids[keep:]
            rejected = decode(list(record.original_ids[keep:]), skip_special_tokens=True)
            assert rejected == record.rejected_text
            assert record.rejected_text.lstrip().startswith(record.cue.text)
            assert branch.text.lstrip().startswith(branch.first_trigger)


def test_the_cue_is_the_first_that_the_exact_judge_sees(records: list[RolloutRecord]) -> None:
    for record in records:
        if record.harmless or record.cue is None:
            continue
        reading = sandbox_tools().reader.read(
            sandbox_tools().reader.ask(record.prompt), record.original_ids
        )
        steps = [step.text for step in reading.judged_steps]
        case = Case(record.prompt, tuple(steps))
        assert ExactFinder().find([case])[0].first_cue == record.cue.step
        assert steps[record.cue.step] == record.cue.text


def test_a_prompt_gives_the_same_alone(records: list[RolloutRecord]) -> None:
    for number in (0, 4, 7):
        assert roll_out([PROMPTS[number]], sandbox_tools(), CONFIG) == [records[number]]


def test_economy_ends_originals_past_the_cue_and_branches_once_settled(
    records: list[RolloutRecord],
) -> None:
    paper = roll_out(PROMPTS[:6], sandbox_tools(), RolloutConfig(num_triggers=2).whole())
    thrifty = [record for record in records if not record.harmless]
    ours, theirs = report_on(thrifty).harmful, report_on(paper).harmful
    assert ours.original_tokens < theirs.original_tokens
    assert ours.branch_tokens < theirs.branch_tokens
    for short, whole in zip(thrifty, paper, strict=True):
        assert whole.original_ids[: len(short.original_ids)] == short.original_ids
        assert short.cue == whole.cue


def test_a_harmless_branch_ends_once_it_says_no(records: list[RolloutRecord]) -> None:
    whole = roll_out(PROMPTS[6:], sandbox_tools(), CONFIG.whole())
    ended = 0
    for short, long in zip(records[6:], whole, strict=True):
        for branch, full in zip(short.branches, long.branches, strict=True):
            assert full.ids[: len(branch.ids)] == branch.ids
            if branch.ended is not Ended.WATCH:
                continue
            assert branch.outcome is Outcome.ACCEPTED
            assert len(branch.ids) < len(full.ids)
            assert declines(branch.text.replace(branch.first_trigger, ""))
            ended += 1
    assert ended


def test_in_own_words_a_side_is_what_was_written_after_the_trigger(
    records: list[RolloutRecord],
) -> None:
    own = roll_out(PROMPTS, sandbox_tools(), replace(CONFIG, own_words=True))
    seen = 0
    for with_trigger, without in zip(records, own, strict=True):
        assert with_trigger.original_ids == without.original_ids
        for branch, bare in zip(with_trigger.branches, without.branches, strict=True):
            assert bare.num_sampled == branch.num_sampled
            if bare.outcome is not Outcome.ACCEPTED:
                continue
            assert without.cue is not None
            assert bare.ids[: without.cue.keep] == without.original_ids[: without.cue.keep]
            said = bare.text.strip()
            assert said and said in branch.text and branch.first_trigger not in bare.text
            assert "</think>" not in bare.text
            seen += 1
        sides = [bare.ids for bare in without.accepted]
        assert len(sides) == len(set(sides))
    assert seen >= 6


def test_a_branch_without_a_step_of_its_own_is_no_pair_in_own_words() -> None:
    """A trigger that is followed by nothing leaves nothing when it is taken out."""
    config = RolloutConfig(own_words=True, num_triggers=1, settled_steps=None, max_new_tokens=480)

    class Ends:
        def __init__(self) -> None:
            self.inner = sandbox_tools().generator
            self.turn = 0

        def generate(
            self, jobs: Sequence[Job], sampling: Sampling, watch: Watch | None = None
        ) -> list[Completion]:
            self.turn += 1
            if self.turn == 1:
                return self.inner.generate(jobs, sampling, watch)
            close = sandbox_tools().reader.encode("</think>")
            return [Completion(close, Ended.STOP) for _ in jobs]

    tools = replace(sandbox_tools(), generator=Ends(), judge=None)
    (record,) = roll_out(PROMPTS[:1], tools, config)
    assert [each.outcome for each in record.branches] == [Outcome.NO_OWN_WORDS]


def test_an_original_without_a_cue_ends_with_its_reasoning() -> None:
    tools = replace(sandbox_tools(), finder=Says(Finding(None)), judge=None)
    for record in roll_out(PROMPTS[:3], tools, RolloutConfig(look_every=4)):
        assert record.outcome is Outcome.NO_CUE and record.original_ended is Ended.WATCH
        answer = record.original_text.partition("</think>")[2]
        assert len(tools.reader.encode(answer)) < 8


def test_a_branch_is_intervened_in_until_the_cap() -> None:
    """A finder that calls the last step of everything a cue never lets a branch be safe."""

    class Last:
        name = "last"

        def find(self, cases: Sequence[Case]) -> list[Finding]:
            own = [[n for n in range(len(case.steps)) if n not in case.injected] for case in cases]
            return [Finding(each[-1] if each else None) for each in own]

    tools = replace(sandbox_tools(), finder=Last(), judge=None)
    config = RolloutConfig(num_triggers=1, max_interventions=3)
    (record,) = roll_out(PROMPTS[:1], tools, config)
    (branch,) = record.branches
    assert branch.outcome is Outcome.STILL_UNSAFE
    assert len(branch.trigger_ids) == 3 == len(set(branch.trigger_ids))


@pytest.mark.parametrize(
    ("finding", "verdict", "outcome"),
    [
        (Finding(None), Verdict(), Outcome.NO_CUE),
        (Finding(None, failed="cannot"), Verdict(), Outcome.DETECTOR_FAILED),
        (Finding(0), Verdict(False, False), Outcome.ORIGINAL_JUDGED_HARMLESS),
        (Finding(0), Verdict(), Outcome.JUDGE_FAILED),
    ],
)
def test_originals_that_give_no_pair_say_why(
    finding: Finding, verdict: Verdict, outcome: Outcome
) -> None:
    says = Says(finding, verdict)
    tools = replace(sandbox_tools(), finder=says, judge=says)
    (record,) = roll_out(PROMPTS[:1], tools, RolloutConfig(max_new_tokens=30))
    assert (record.outcome, record.branches) == (outcome, ())
    assert report_on([record]).harmful.outcomes == {outcome.value: 1}


def test_the_judge_has_the_last_word_on_the_intervened_side() -> None:
    tools = replace(sandbox_tools(), judge=Says(verdict=Verdict(True, False)))
    (record,) = roll_out(PROMPTS[:1], tools, CONFIG)
    assert {branch.outcome for branch in record.branches} == {Outcome.JUDGED_HARMFUL}


def test_a_run_goes_on_where_it_was_and_refuses_other_settings(
    tmp_path: Path, records: list[RolloutRecord]
) -> None:
    tools, config = sandbox_tools(), replace(CONFIG, prompts_at_once=2)
    whole = run_rollouts(tmp_path / "whole", PROMPTS, tools, config, model="m")
    assert list(read_rollouts(tmp_path / "whole")) == records
    path = tmp_path / "whole" / "rollouts.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:3]) + lines[3][:-40])  # as a crash leaves it
    done: list[int] = []
    again = run_rollouts(
        tmp_path / "whole", PROMPTS, tools, config, model="m", progress=done.append
    )
    assert done[0] == 3 and sum(done) == len(PROMPTS)
    assert (again, path.read_bytes()) == (whole, b"".join(lines))
    with pytest.raises(ValueError, match="num_triggers"):
        other = replace(config, num_triggers=3)
        run_rollouts(tmp_path / "whole", PROMPTS, tools, other, model="m")
    path.write_bytes(b"{}\n" + lines[0])
    with pytest.raises(ValueError, match="line 1 is damaged"):
        list(read_rollouts(tmp_path / "whole"))


RUN = """
import sys, torch
from pathlib import Path
torch.set_num_threads(1)
sys.path.insert(0, {tests!r})
from sandbox_tools import sandbox_tools
from rerail.train.prompts import sandbox_prompts
from rerail.train.rollout_config import RolloutConfig
from rerail.train.rollout_run import run_rollouts
prompts = sandbox_prompts("train", "harmful", num=6)
config = RolloutConfig(num_triggers=2, look_every=8, prompts_at_once=1)
run_rollouts(Path({folder!r}), prompts, sandbox_tools(), config, model="m")
"""


def test_a_killed_process_loses_no_prompt_that_was_done(
    tmp_path: Path, records: list[RolloutRecord]
) -> None:
    here = Path(__file__).parent
    code = RUN.format(tests=str(here.parent), folder=str(tmp_path / "run"))
    path = tmp_path / "run" / "rollouts.jsonl"
    process = subprocess.Popen([sys.executable, "-c", code])
    while not (path.exists() and path.read_bytes().count(b"\n") >= 2):
        assert process.poll() is None, "the run ended before it could be killed"
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    kept = path.read_bytes().rpartition(b"\n")[0]
    run_rollouts(
        tmp_path / "run",
        PROMPTS[:6],
        sandbox_tools(),
        replace(CONFIG, prompts_at_once=1),
        model="m",
    )
    assert path.read_bytes().startswith(kept)
    assert list(read_rollouts(tmp_path / "run")) == records[:6]
