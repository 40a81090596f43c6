"""A small fleet: two servers over one PostgreSQL, a training in two processes from what both have
collected, and the result on both: `pytest -m slow tests/journeys/test_fleet.py`.

That processes share a store is in the default run (tests/guard/store/test_store_processes.py).
"""

import json
import subprocess
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from command_line import RUN, CommandLine
from server_process import Process, running_command, wait_for
from two_processes import LAUNCH

from rerail.guard import Store
from rerail.guard.pair_files import read_pairs
from rerail.guard.store_query import TraceFilter
from rerail.train.prompts import sandbox_prompts
from rerail.train.sandbox.kinds import Kind

NUM = 40


@contextmanager
def fleet(store: str, model: str) -> Generator[list[Process]]:
    """Two servers of one model, each on a port of its own."""
    command = (*RUN, "serve", model, "--port", "0", "--store", store)
    with running_command(command) as first, running_command(command) as second:
        yield [first, second]


def ask(servers: list[Process], model: str, seed: int) -> None:
    """The same number of harmful requests to each of them at the same time."""

    def ask_one(number: int) -> None:
        for prompt in asked[number :: len(servers)]:
            body = {"model": model, "messages": [*map(dict, prompt.messages)], "max_tokens": 300}
            url = f"{servers[number].url}/v1/chat/completions"
            httpx.post(url, json=body, timeout=120).raise_for_status()

    asked = sandbox_prompts("train", Kind.HARMFUL, num=NUM, seed=seed)
    with ThreadPoolExecutor(len(servers)) as threads:
        list(threads.map(ask_one, range(len(servers))))


def interventions(store: str, model: str) -> float:
    """Interventions in an answer of this model, once all answers are stored."""
    with Store(store, read_only=True) as opened:
        wanted = TraceFilter(model=model)
        wait_for(lambda: opened.count(wanted) == NUM)
        summaries = list(opened.summaries(wanted))
    return sum(each.num_interventions for each in summaries) / len(summaries)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.usefixtures("one_thread")
def test_what_two_servers_collect_trains_both(postgres_url: str, tmp_path: Path) -> None:
    rerail = CommandLine(tmp_path)
    with fleet(postgres_url, "sandbox") as servers:
        ask(servers, "sandbox", seed=1)
        before = interventions(postgres_url, "sandbox")
        for server in servers:  # each has its share in the common store
            assert server.metric("rerail_interventions_total") > 0
    place = ("--store", postgres_url)
    assert rerail("pairs", "complete", *place, "--batch-size", "8").code == 0
    made = rerail("train", "pairs", "--from-store", *place, "--out", "pairs.jsonl")
    assert made.code == 0, made
    assert len({each.trace_id for each in read_pairs(tmp_path / "pairs.jsonl")}) > NUM / 4

    trained = subprocess.run(
        [
            *(*LAUNCH, "-m", "rerail.serve.cli_train_process"),
            *("--model_name_or_path", "sandbox", "--pairs", "pairs.jsonl", "--out", "trained"),
            *("--merged", "--use_cpu", "--learning_rate", "1e-3", "--num_train_epochs", "4"),
            *("--per_device_train_batch_size", "2"),  # of two processes: 4 a step
        ],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=rerail.environment | {"ACCELERATE_USE_CPU": "true"},
        timeout=900,
    )
    assert trained.returncode == 0, trained.stderr[-2000:]
    result = json.loads((tmp_path / "trained" / "result.json").read_text())
    assert result["num_pairs"] > NUM / 4

    merged = str(tmp_path / "trained" / "merged")
    with fleet(postgres_url, merged) as servers:
        ask(servers, merged, seed=2)
        assert interventions(postgres_url, merged) < 0.7 * before
