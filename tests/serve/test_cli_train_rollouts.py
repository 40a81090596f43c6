"""`rerail train rollouts | pairs` as a user runs them: prompts to pairs, and what is refused."""

import json
import signal
import subprocess
import time

import pytest
from command_line import RUN, CommandLine, refused

from rerail.guard.pair_files import read_pairs

ROLL = ("train", "rollouts", "--detector", "exact", "--judge", "exact", "--num", "6")


def test_from_prompts_to_pairs(rerail: CommandLine) -> None:
    done = rerail(*ROLL, "--kind", "harmful", "--num-triggers", "1", "--compare", "--out", "r")
    assert done.code == 0, done.err
    assert "times fewer generated tokens" in done.err
    report = json.loads((rerail.home / "r" / "thrifty" / "report.json").read_text())
    assert report["harmful"]["num_prompts"] == 6
    done = rerail("train", "pairs", "--rollouts", "r/thrifty", "r/paper", "--out", "p.jsonl")
    assert done.code == 0, done.err
    pairs = list(read_pairs(rerail.home / "p.jsonl"))
    assert len(pairs) >= 6 and all(pair.prompt_ids and pair.complete for pair in pairs)
    refused(rerail(*ROLL, "--kind", "harmful", "--num-triggers", "2", "--out", "r/thrifty"), 1,
            "another num_triggers")  # fmt: skip


def test_wrong_use_is_one_sentence(rerail: CommandLine) -> None:
    refused(rerail("train", "pairs", "--out", "p.jsonl"), 2, "--rollouts")
    (rerail.home / "empty").mkdir()
    done = rerail("train", "pairs", "--rollouts", "empty", "--out", "p.jsonl")
    refused(done, 1, "holds no rollouts")
    prompts = rerail.home / "prompts.jsonl"
    prompts.write_text('{"prompt": "a", "harmful": true}\n{"prompt": \n')
    done = rerail("train", "rollouts", "--prompts", prompts, "--out", "r")
    refused(done, 1, "prompts.jsonl line 2")
    done = rerail(*ROLL[:-2], "--prompts", prompts, "--out", "r")
    refused(done, 2, "exact", "sandbox")


@pytest.mark.slow
def test_an_interrupted_run_says_how_to_go_on(rerail: CommandLine) -> None:
    command = [*RUN, *ROLL[:-1], "40", "--prompts-at-once", "1", "--out", "r"]
    process = subprocess.Popen(
        command, cwd=rerail.home, env=rerail.environment, stderr=subprocess.PIPE, text=True
    )
    path = rerail.home / "r" / "rollouts.jsonl"
    while not (path.exists() and path.read_bytes().count(b"\n") >= 2):
        assert process.poll() is None, "the run ended before it could be interrupted"
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate()
    assert process.returncode == 130 and "give the same command again" in said
    assert path.read_bytes().endswith(b"\n")
