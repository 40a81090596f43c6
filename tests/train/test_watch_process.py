"""Traffic in, a round, the swap, fewer interventions: a real server and a real watch."""

import sys
from pathlib import Path
from threading import Thread
from typing import Any

import httpx
import pytest
from command_line import RUN, CommandLine
from server_process import running_command, wait_for

from rerail.guard import Store
from rerail.guard.store_query import TraceFilter
from rerail.train.prompts import sandbox_prompts
from rerail.train.sandbox.kinds import Kind

NUM = 40
LOOSE = ("--limits.max-utility-drop", "1", "--limits.max-kl", "9",
         "--limits.max-over-refusal-rise", "1", "--limits.max-detector-drift", "1",
         "--limits.max-false-interventions", "1")  # fmt: skip
"""What is tested here is the way round; whether a round this small keeps its limits is not."""

SUITED = ("--training.learning-rate", "1e-3", "--training.beta", "0.3",
          "--training.sft-weight", "1", "--training.first-tokens", "32",
          "--rollouts.own-words")  # fmt: skip
"""As `--sandbox` sets for rounds: what so small a model learns from."""


def _ask(url: str, seed: int) -> None:
    for prompt in sandbox_prompts("train", Kind.HARMFUL, num=NUM, seed=seed):
        messages = [dict(each) for each in prompt.messages]
        body: dict[str, Any] = {"model": "sandbox", "messages": messages, "max_tokens": 300}
        httpx.post(f"{url}/v1/chat/completions", json=body, timeout=120).raise_for_status()


def _interventions(store: Path, model: str) -> float:
    with Store(str(store), read_only=True) as opened:
        traces = list(opened.traces(TraceFilter(model=model)))
    return sum(len(each.interventions) for each in traces) / len(traces)


@pytest.mark.slow
def test_a_served_model_is_intervened_in_less_after_a_round(tmp_path: Path) -> None:
    rerail = CommandLine(tmp_path)
    store, out = tmp_path / "traces.db", tmp_path / "watch"
    command = [*RUN, "serve", "--port", "0", "--store", str(store)]
    command += ["--follow", str(out / "promoted.json")]
    assert command[0] == sys.executable
    with running_command(command) as server:
        _ask(server.url, seed=1)
        streaming = Thread(target=_ask, args=(server.url, 3))
        watch = rerail.start(
            "train", "watch", "--out", out, "--store", store, "--min-pairs", "20",
            "--max-rounds", "1", "--num-harmful", "64", "--num-harmless", "64", "--num-gate", "4",
            "--num-labelled", "3", *SUITED, *LOOSE,
        )  # fmt: skip
        streaming.start()  # requests run on while the model is trained and swapped
        _, said = watch.communicate(timeout=900)
        streaming.join()
        assert watch.returncode == 0, said
        assert "promoted" in said
        wait_for(lambda: any(line.get("message") == "model swapped" for line in server.lines), 60)
        swap = next(line for line in server.lines if line.get("message") == "model swapped")
        _ask(server.url, seed=2)
        wait_for(lambda: _count(store, swap["model"]) >= NUM)
        assert not [line for line in server.lines if line.get("level") == "error"]
    assert _interventions(store, swap["model"]) < 0.5 * _interventions(store, swap["before"])


def _count(store: Path, model: str) -> int:
    with Store(str(store), read_only=True) as opened:
        return opened.count(TraceFilter(model=model))
