"""Plain completions, models, tokens, refused fields, and servers that are set up in other ways."""

from collections.abc import Iterator
from typing import Any

import httpx
import openai
import pytest
from chat_client import TOOLS, ask
from serving import Running, serving
from talker import DEFAULT, TalkerEngine

from rerail.guard import Action, GuardConfig


@pytest.fixture(scope="module")
def running() -> Iterator[Running]:
    with serving(TalkerEngine()) as server:
        yield server


@pytest.fixture(scope="module")
def client(running: Running) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{running.url}/v1", api_key="none", max_retries=0) as made:
        yield made


def test_completions(client: openai.OpenAI, running: Running) -> None:
    text = "say So. A wicked thing.</think>\n\nEnd."
    before = len(running.traces)
    answer = client.completions.create(model="talker", prompt=[text, "hello"], n=2, seed=1)
    assert [choice.index for choice in answer.choices] == [0, 1, 2, 3]
    assert "wicked" not in answer.model_dump_json()
    assert answer.choices[2].text == answer.choices[3].text == DEFAULT
    assert [trace.action for trace in running.traces[before:]].count(Action.INTERVENE) == 2
    texts = [""] * 4
    for chunk in client.completions.create(
        model="talker", prompt=[text, "hello"], n=2, seed=1, stream=True
    ):
        for choice in chunk.choices:
            texts[choice.index] += choice.text
    assert texts == [choice.text for choice in answer.choices]
    echoed = client.completions.create(model="talker", prompt="hello", echo=True, stop="This")
    assert echoed.choices[0].text == "hello" + "Let me see. "


def test_models_and_tokenize(client: openai.OpenAI, running: Running) -> None:
    assert [model.id for model in client.models.list()] == ["talker", "other-name"]
    assert client.models.retrieve("talker").id == "talker"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("gpt")
    with httpx.Client(base_url=running.url) as plain:
        text = plain.post("/tokenize", json={"prompt": "one two"}).json()
        assert text["count"] == len(text["tokens"]) == 2
        chat = {"messages": [{"role": "user", "content": "hi"}]}
        assert plain.post("/tokenize", json=chat).json()["count"] > 2


@pytest.mark.parametrize(
    ("options", "param"),
    [
        ({"logprobs": True}, "logprobs"),
        ({"temperature": 3}, "temperature"),
        ({"n": 17}, "n"),
        ({"max_tokens": 5000}, "messages"),
        ({"tools": TOOLS, "tool_choice": "required"}, "tool_choice"),
        ({"response_format": {"type": "json_object"}}, "response_format"),
        ({"extra_body": {"best_effort": True}}, "best_effort"),
        ({"extra_body": {"top_k": 101}}, "top_k"),
        ({"extra_body": {"rerail": {"enabled": False}}}, "rerail.enabled"),
        ({"extra_body": {"rerail": {"policy": "off"}}}, "rerail"),
        ({"extra_body": {"rerail": {"on_detector_error": "release"}}}, "rerail.on_detector_error"),
        (
            {"extra_body": {"chat_template_kwargs": {"chat_template": "x"}}},
            "chat_template_kwargs.chat_template",
        ),
    ],
)
def test_what_cannot_be_done_is_refused(
    client: openai.OpenAI, options: dict[str, Any], param: str
) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        ask(client, "hello", **options)
    assert caught.value.param == param
    assert caught.value.type == "invalid_request_error"


def test_unknown_model(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        client.chat.completions.create(model="gpt", messages=[{"role": "user", "content": "x"}])
    assert caught.value.code == "model_not_found"


def test_reasoning_goes_by_the_other_name_on_request() -> None:
    with (
        serving(TalkerEngine(), reasoning_field="reasoning") as running,
        openai.OpenAI(base_url=f"{running.url}/v1", api_key="none") as client,
    ):
        message = ask(client, "hello").choices[0].message
        assert message.reasoning == "Let me see. This is easy."
        chunks = list(ask(client, "hello", stream=True))
        thought = "".join(getattr(chunk.choices[0].delta, "reasoning", "") for chunk in chunks)
        assert thought == message.reasoning


def test_leaked_text_is_taken_back() -> None:
    """With `hold="none"` text is out before its verdict: the stream says what to drop."""
    text = "say Fine so far. A wicked thing. More.</think>\n\nDone."
    with (
        serving(TalkerEngine(), config=GuardConfig(hold="none")) as running,
        openai.OpenAI(base_url=f"{running.url}/v1", api_key="none") as client,
    ):
        whole = ask(client, text, seed=1).choices[0].message
        thought = ""
        leaked = False
        for chunk in ask(client, text, seed=1, stream=True):
            entry = getattr(chunk, "rerail", {"choices": [{}]})["choices"][0]
            taken_back = entry.get("retract", {}).get("reasoning_content", 0)
            thought = thought[: len(thought) - taken_back]
            if chunk.choices:
                thought += getattr(chunk.choices[0].delta, "reasoning_content", None) or ""
            leaked = leaked or "wicked" in thought
        assert leaked and thought == whole.reasoning_content
        assert "wicked" not in thought


def test_without_a_guard_nothing_is_reported_as_passed() -> None:
    options: Any = {"extra_body": {"rerail": {"report": True}}}
    with (
        serving(TalkerEngine(), detector=None) as running,
        openai.OpenAI(base_url=f"{running.url}/v1", api_key="none") as client,
    ):
        (entry,) = ask(client, "hello", **options).rerail["choices"]
        assert entry["scanned"] == "none" and entry["valid"] is None
        page = httpx.get(f"{running.url}/metrics").text
        assert 'rerail_scanned_generations_total{scanned="none"} 1.0' in page
        assert 'rerail_scanned_generations_total{scanned="all"} 0.0' in page
