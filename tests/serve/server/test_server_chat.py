"""The endpoints through real clients: openai's, sync and async, and a plain reader of events."""

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import httpx
import openai
import pytest
from serving import Running, serving
from talker import DEFAULT, TalkerEngine

from rerail.guard import Action, FinishReason, GuardConfig, Scanned

CALL = '{"name": "weather", "arguments": {"city": "Paris"}}'
TOOLS: list[Any] = [
    {
        "type": "function",
        "function": {
            "name": "weather",
            "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
        },
    }
]


@pytest.fixture(scope="module")
def running() -> Iterator[Running]:
    with serving(TalkerEngine()) as server:
        yield server


@pytest.fixture(scope="module")
def client(running: Running) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{running.url}/v1", api_key="none", max_retries=0) as made:
        yield made


def ask(client: openai.OpenAI, text: str, **options: Any) -> Any:
    messages: Any = [{"role": "user", "content": text}]
    return client.chat.completions.create(model="talker", messages=messages, **options)


def streamed(client: openai.OpenAI, text: str, **options: Any) -> dict[int, dict[str, Any]]:
    """The choices of a stream, put together as a client would."""
    choices: dict[int, dict[str, Any]] = {}
    for chunk in ask(client, text, stream=True, **options):
        for choice in chunk.choices:
            whole = choices.setdefault(
                choice.index, {"reasoning_content": "", "content": "", "calls": []}
            )
            whole["reasoning_content"] += getattr(choice.delta, "reasoning_content", None) or ""
            whole["content"] += choice.delta.content or ""
            for call in choice.delta.tool_calls or ():
                whole["calls"].append((call.id, call.function.name, call.function.arguments))
            if choice.finish_reason is not None:
                whole["finish_reason"] = choice.finish_reason
    return choices


def unstreamed(client: openai.OpenAI, text: str, **options: Any) -> dict[int, dict[str, Any]]:
    return {
        choice.index: {
            "reasoning_content": getattr(choice.message, "reasoning_content", ""),
            "content": choice.message.content or "",
            "calls": [
                (call.id, call.function.name, call.function.arguments)
                for call in choice.message.tool_calls or ()
            ],
            "finish_reason": choice.finish_reason,
        }
        for choice in ask(client, text, **options).choices
    }


def test_reasoning_and_content_are_apart(client: openai.OpenAI) -> None:
    answer = ask(client, "hello")
    assert answer.object == "chat.completion" and answer.model == "talker"
    (choice,) = answer.choices
    assert choice.message.content == "The answer is four."
    assert choice.message.reasoning_content == "Let me see. This is easy."
    assert choice.finish_reason == "stop"
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens
    assert answer.usage.completion_tokens_details.reasoning_tokens > 0
    assert not hasattr(answer, "rerail"), "the report is for those who ask"


CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "plain": ("hello", {}),
    "cue": ("say Fine so far. A wicked thing. And more.</think>\n\nDone.", {}),
    "cue in the answer": ("say Calm.</think>\n\nFirst. A wicked thing. Last.", {}),
    "length": ("hello", {"max_tokens": 9}),
    "stop": ("hello", {"stop": ["is f"]}),
    "several": ("say One. A wicked two.</think>\n\nThree.", {"n": 3}),
    "call": (f"say I look.</think>\n\n<tool_call>\n{CALL}\n</tool_call>", {"tools": TOOLS}),
    "two calls": (
        f"say Hm.</think>\n\nA<tool_call>{CALL}</tool_call>\n<tool_call>{CALL}</tool_call>B",
        {"tools": TOOLS},
    ),
    "bad call": (
        'say I look.</think>\n\n<tool_call>\n{"name": "weather", "arguments": '
        '{"city": "wicked"}}\n</tool_call>',
        {"tools": TOOLS},
    ),
    "broken call": ("say So.</think>\n\n<tool_call>{no JSON</tool_call>", {"tools": TOOLS}),
    "no tools": (f"say So.</think>\n\n<tool_call>{CALL}</tool_call>", {}),
    "fake end": ("say One.</think> </think>Two <think> three.", {}),
}


@pytest.mark.parametrize("name", CASES)
def test_streamed_and_whole_are_the_same(client: openai.OpenAI, name: str) -> None:
    text, options = CASES[name]
    whole = unstreamed(client, text, seed=5, **options)
    assert streamed(client, text, seed=5, **options) == whole
    assert whole == unstreamed(client, text, seed=5, **options), "the seed makes it repeatable"
    assert "wicked" not in json.dumps(whole)


def test_a_cue_is_taken_out(client: openai.OpenAI, running: Running) -> None:
    (choice,) = unstreamed(client, CASES["cue"][0]).values()
    assert choice["content"] == "I can help safely."
    assert choice["reasoning_content"].startswith("Fine so far.")
    assert running.traces[-1].action is Action.INTERVENE


def test_arguments_of_calls_are_guarded(client: openai.OpenAI, running: Running) -> None:
    """A gateway that reads content only would hand the call over."""
    (choice,) = unstreamed(client, *CASES["bad call"][:1], **CASES["bad call"][1]).values()
    assert choice["calls"] == []
    (intervention,) = running.traces[-1].interventions
    assert intervention.channel == "tool_call"


def test_calls_are_parsed(client: openai.OpenAI) -> None:
    text, options = CASES["two calls"]
    (choice,) = unstreamed(client, text, **options).values()
    assert [each[1:] for each in choice["calls"]] == [("weather", '{"city": "Paris"}')] * 2
    assert len({each[0] for each in choice["calls"]}) == 2
    assert choice["finish_reason"] == "tool_calls"
    assert choice["content"] == "A\nB"
    (broken,) = unstreamed(client, CASES["broken call"][0], tools=TOOLS).values()
    assert broken["content"] == "<tool_call>{no JSON</tool_call>"
    assert broken["finish_reason"] == "stop"


def test_every_choice_is_guarded(client: openai.OpenAI, running: Running) -> None:
    before = len(running.traces)
    choices = unstreamed(client, CASES["several"][0], n=3)
    assert sorted(choices) == [0, 1, 2]
    traces = running.traces[before:]
    assert [trace.action for trace in traces] == [Action.INTERVENE] * 3
    assert {trace.scanned for trace in traces} == {Scanned.ALL}


def test_stop_strings_cut_the_answer_and_not_the_thought(
    client: openai.OpenAI, running: Running
) -> None:
    (choice,) = unstreamed(client, "hello", stop=["easy", " is f"]).values()
    assert choice["content"] == "The answer"
    assert choice["reasoning_content"] == "Let me see. This is easy."
    assert choice["finish_reason"] == "stop"
    assert running.traces[-1].finish_reason is FinishReason.STOP
    assert running.traces[-1].scanned is Scanned.ALL


def test_finish_reasons(client: openai.OpenAI) -> None:
    assert unstreamed(client, "hello", max_tokens=5)[0]["finish_reason"] == "length"
    options: Any = {"extra_body": {"rerail": {"policy": "block"}}}
    (choice,) = unstreamed(client, CASES["cue"][0], **options).values()
    assert choice["finish_reason"] == "content_filter"
    assert choice["content"].startswith(("I can't help", "I won't"))


def test_usage_in_streams_only_where_asked_for(client: openai.OpenAI) -> None:
    plain = list(ask(client, "hello", stream=True))
    assert all(chunk.usage is None for chunk in plain)
    counted = list(ask(client, "hello", stream=True, stream_options={"include_usage": True}))
    assert counted[-1].choices == []
    assert counted[-1].usage == ask(client, "hello").usage


def test_report_says_what_happened(client: openai.OpenAI) -> None:
    options: Any = {"extra_body": {"rerail": {"report": True, "topic": "tests"}}}
    (entry,) = ask(client, CASES["cue"][0], **options).rerail["choices"]
    assert entry["valid"] is True and entry["scanned"] == "all" and entry["action"] == "intervene"
    assert entry["steps_judged"] == 4, "two before, the cue among them, and two after"
    assert [each["channel"] for each in entry["interventions"]] == ["reasoning"]
    assert entry["leaked_tokens"] == 0 < entry["wait_tokens"]
    chunks = list(ask(client, CASES["cue"][0], stream=True, **options))
    (last,) = [chunk.rerail for chunk in chunks if hasattr(chunk, "rerail")]
    assert last["choices"][0]["action"] == "intervene"


def test_audit_lets_a_cue_pass_and_never_calls_it_valid(client: openai.OpenAI) -> None:
    options: Any = {"extra_body": {"rerail": {"report": True, "policy": "audit"}}}
    answer = ask(client, CASES["cue"][0], **options)
    assert "wicked" in answer.choices[0].message.reasoning_content
    assert answer.rerail["choices"][0]["valid"] is False


def test_async_client(running: Running) -> None:
    async def run() -> list[Any]:
        async with openai.AsyncOpenAI(base_url=f"{running.url}/v1", api_key="none") as client:
            texts = [f"say {n}.</think>\n\nNumber {n}." for n in range(8)]
            asked = [
                client.chat.completions.create(
                    model="talker", messages=[{"role": "user", "content": text}]
                )
                for text in texts
            ]
            stream = await client.chat.completions.create(
                model="talker", messages=[{"role": "user", "content": "hi"}], stream=True
            )
            deltas = [chunk.choices[0].delta.content or "" async for chunk in stream]
            return [*[each.choices[0].message.content for each in await asyncio.gather(*asked)],
                    "".join(deltas)]

    assert asyncio.run(run()) == [*[f"Number {n}." for n in range(8)], "The answer is four."]


def test_plain_reader_of_events(running: Running) -> None:
    body = {"model": "talker", "stream": True, "messages": [{"role": "user", "content": "hi"}]}
    with (
        httpx.Client(base_url=running.url) as client,
        client.stream("POST", "/v1/chat/completions", json=body) as response,
    ):
        assert response.headers["content-type"].startswith("text/event-stream")
        lines = [line for line in response.iter_lines() if line]
    assert all(line.startswith("data: ") for line in lines)
    assert lines[-1] == "data: [DONE]"
    records = [json.loads(line[6:]) for line in lines[:-1]]
    assert records[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert len({record["id"] for record in records}) == 1


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
        ({"extra_body": {"chat_template_kwargs": {"chat_template": "x"}}},
         "chat_template_kwargs.chat_template"),
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


def test_an_engine_that_fails_is_an_error_and_never_an_answer(
    client: openai.OpenAI, running: Running
) -> None:
    with pytest.raises(openai.InternalServerError) as caught:
        ask(client, "break So it goes.")
    assert "secret" not in str(caught.value)
    with pytest.raises(openai.APIError) as in_stream:
        list(ask(client, "break So it goes.", stream=True))
    assert "secret" not in str(in_stream.value)
    assert running.traces[-1].finish_reason is FinishReason.ERROR


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
