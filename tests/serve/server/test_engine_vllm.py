"""`--engine vllm`: the server in front of a real vLLM engine in its own process."""

from collections.abc import Iterator
from typing import Any

import httpx
import openai
import pytest
from chat_client import streamed, unstreamed
from fakes import WordDetector
from serving import Running, serving

from rerail.guard import Action
from rerail.serve.server_run import DrainingServer
from rerail.train.sandbox.kinds import Kind
from rerail.train.sandbox.world import prompts

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(600)]

QUESTION = str(prompts("test", Kind.HARMLESS, num=1, seed=3)[0].messages[-1]["content"])


@pytest.fixture(scope="module")
def detector() -> WordDetector:
    """Fires on the texts that a test puts into it."""
    return WordDetector(at_end=[])


@pytest.fixture(scope="module")
def running(vllm_running: Any, detector: WordDetector) -> Iterator[Running]:
    from rerail.serve.engine_vllm import VllmEngine

    class Shared(VllmEngine):
        async def close(self) -> None:
            """The engine is for further tests."""

    def run(server: DrainingServer) -> None:
        vllm_running.thread.run(server.serve())  # the engine belongs to this loop

    engine = Shared(vllm_running.engine, loaded_name="sandbox", model_names=["talker"])
    with serving(engine, detector=detector, run=run) as server:
        yield server


@pytest.fixture(scope="module")
def client(running: Running) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{running.url}/v1", api_key="none", max_retries=0) as made:
        yield made


def test_streamed_and_whole_are_the_same_and_so_are_interventions(
    client: openai.OpenAI, running: Running, detector: WordDetector
) -> None:
    options: dict[str, Any] = {"seed": 5, "temperature": 1.0, "n": 2}
    calm = unstreamed(client, QUESTION, **options)
    assert streamed(client, QUESTION, **options) == calm
    assert {each.action for each in running.traces} == {Action.ALLOW}
    (stored,) = {each.model for each in running.traces}
    assert stored.startswith("sandbox@"), "as with any engine: not what requests call it"
    detector.at_end = [running.traces[0].steps[2].text]
    guarded = unstreamed(client, QUESTION, **options)
    assert Action.INTERVENE in {each.action for each in running.traces[-2:]}
    assert guarded != calm
    assert streamed(client, QUESTION, **options) == guarded
    detector.at_end = []


def test_the_answers_tokens_come_with_their_log_probabilities(client: openai.OpenAI) -> None:
    (choice,) = client.chat.completions.create(
        model="talker",
        messages=[{"role": "user", "content": QUESTION}],
        temperature=0.0,
        logprobs=True,
        top_logprobs=3,
    ).choices
    assert choice.logprobs is not None and choice.logprobs.content
    said = "".join(each.token for each in choice.logprobs.content)
    assert said.strip() == (choice.message.content or "").strip()
    for each in choice.logprobs.content:
        assert len(each.top_logprobs) == 3 and each.top_logprobs[0].token == each.token
        assert 0 >= each.logprob == each.top_logprobs[0].logprob


def test_fields_of_vllm_reach_it(client: openai.OpenAI, running: Running) -> None:
    wanted = running.traces[0].tokens.ids[0]
    extra = {"stop_token_ids": [wanted], "logit_bias": {str(wanted): 100.0}, "top_k": 5}
    client.chat.completions.create(
        model="talker",
        messages=[{"role": "user", "content": QUESTION}],
        temperature=0.0,
        extra_body=extra,
    )
    trace = running.traces[-1]
    assert trace.tokens.ids == [wanted]
    assert trace.sampling["stop_token_ids"] == [wanted]


@pytest.mark.parametrize(
    "wrong",
    [
        {"stop_token_ids": [10**6]},
        {"ignore_eos": "yes"},
        {"bad_words": [""]},
        {"structured_outputs": {"json": {}}},
    ],
)
def test_what_it_cannot_take_is_refused(running: Running, wrong: dict[str, Any]) -> None:
    body = {"model": "talker", "messages": [{"role": "user", "content": "Hello"}], **wrong}
    answer = httpx.post(f"{running.url}/v1/chat/completions", json=body)
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == next(iter(wrong))
