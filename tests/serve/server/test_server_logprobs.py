"""Log probabilities: of what is released, in the right places, streamed as whole."""

from collections.abc import Iterator
from typing import Any

import openai
import pytest
from serving import Running, serving
from talker import Talker, TalkerEngine, likelihood

from rerail.guard import GuardConfig
from rerail.serve.engine_options import NumberOption

CUE = "say Calm.</think>\n\nFirst. A wicked thing. Last."
CALM = "say Calm.</think>\n\nFirst come,\nthen so on."


def engine(delay_s: float = 0.0) -> TalkerEngine:
    made = TalkerEngine(Talker(delay_s=delay_s))
    made.options["logprobs"] = NumberOption(0, 20, whole=True)  # type: ignore[index]
    return made


@pytest.fixture(scope="module")
def running() -> Iterator[Running]:
    with serving(engine()) as server:
        yield server


@pytest.fixture(scope="module")
def client(running: Running) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{running.url}/v1", api_key="none", max_retries=0) as made:
        yield made


def chat(client: openai.OpenAI, text: str, **options: Any) -> Any:
    messages: Any = [{"role": "user", "content": text}]
    return client.chat.completions.create(model="talker", messages=messages, seed=1, **options)


def test_of_an_answer(client: openai.OpenAI) -> None:
    (choice,) = chat(client, CALM, logprobs=True, top_logprobs=2).choices
    entries = choice.logprobs.content
    assert "".join(each.token for each in entries).strip() == choice.message.content
    for each in entries:
        assert each.logprob == likelihood(each.token).logprob
        assert [top.token for top in each.top_logprobs] == [each.token, "other"]
        assert bytes(each.bytes).decode() == each.token
    assert chat(client, CALM, logprobs=True).choices[0].logprobs.content[0].top_logprobs == []
    assert chat(client, CALM).choices[0].logprobs is None


@pytest.mark.parametrize("text", [CALM, CUE, "say x A wicked thing.</think>\n\nNo."])
def test_streamed_and_whole_are_the_same(client: openai.OpenAI, text: str) -> None:
    """What was taken out takes its values along; what the guard put in has none."""
    options: Any = {"logprobs": True, "top_logprobs": 1, "n": 2}
    whole = chat(client, text, **options)
    entries: list[list[Any]] = [[], []]
    for chunk in chat(client, text, stream=True, **options):
        for choice in chunk.choices:
            if choice.logprobs is not None:
                entries[choice.index] += choice.logprobs.content
    assert entries == [choice.logprobs.content for choice in whole.choices]
    said = "".join(each.token for each in entries[0])
    assert said and "wicked" not in said
    assert said.split()[-1] == whole.choices[0].message.content.split()[-1]


def test_of_completions(client: openai.OpenAI) -> None:
    create = client.completions.create
    asked: Any = {"model": "talker", "prompt": CUE, "seed": 1, "logprobs": 1, "echo": True}
    choice = create(**asked).choices[0]
    found = choice.logprobs
    assert found is not None and found.tokens and found.text_offset and found.token_logprobs
    for token, offset in zip(found.tokens, found.text_offset, strict=True):
        assert choice.text[offset : offset + len(token)] == token
    assert found.top_logprobs == [{token: likelihood(token).logprob} for token in found.tokens]
    assert "</think>" in found.tokens
    streamed: list[str] = []
    for chunk in create(**asked, stream=True):
        values = chunk.choices[0].logprobs
        streamed += values.tokens or [] if values is not None else []
    assert streamed == found.tokens


@pytest.mark.parametrize("delay_s", [0.0, 0.01])
def test_what_is_taken_back_takes_its_values_along(delay_s: float) -> None:
    """Whether the tokens of the step left in one piece with its verdict or one by one before it."""
    with (
        serving(engine(delay_s), config=GuardConfig(hold="none")) as running,
        openai.OpenAI(base_url=f"{running.url}/v1", api_key="none") as client,
    ):
        (choice,) = chat(client, CUE, logprobs=True).choices
    said = "".join(each.token for each in choice.logprobs.content)
    assert said.startswith("\nFirst. So I will") and "wicked" not in said


def test_what_does_not_fit(client: openai.OpenAI) -> None:
    for options in ({"top_logprobs": 3}, {"logprobs": True, "top_logprobs": 21}):
        with pytest.raises(openai.BadRequestError) as caught:
            chat(client, CALM, **options)
        assert caught.value.param == "top_logprobs"
