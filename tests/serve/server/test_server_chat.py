"""The endpoints through real clients: openai's, sync and async, and a plain reader of events."""

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import httpx
import openai
import pytest
from chat_client import CALL, TOOLS, ask, streamed, unstreamed
from serving import Running, serving
from talker import TalkerEngine

from rerail.guard import Action, FinishReason, Scanned


@pytest.fixture(scope="module")
def running() -> Iterator[Running]:
    with serving(TalkerEngine()) as server:
        yield server


@pytest.fixture(scope="module")
def client(running: Running) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{running.url}/v1", api_key="none", max_retries=0) as made:
        yield made


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
            return [
                *[each.choices[0].message.content for each in await asyncio.gather(*asked)],
                "".join(deltas),
            ]

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
