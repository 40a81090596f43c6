"""Bodies: what is taken over, and which field is named where one cannot be served."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from talker import TalkerEngine

from rerail.serve.wire_body import read_body
from rerail.serve.wire_chat_request import ChatRequest, read_chat
from rerail.serve.wire_completion_request import read_completion
from rerail.serve.wire_errors import ApiError

USER = {"role": "user", "content": "hi"}
CALL = {"id": "1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}


def chat(**fields: Any) -> ChatRequest:
    return read_chat({"model": "talker", "messages": [USER], **fields}, engine(), max_choices=8)


def engine() -> TalkerEngine:
    return TalkerEngine()


def test_what_is_taken_over() -> None:
    request = chat(
        temperature=0.5, top_p=0.9, top_k=5, seed=7, n=2, stop="x", max_completion_tokens=9,
        stream=True, stream_options={"include_usage": True}, user="bob",
        chat_template_kwargs={"enable_thinking": False}, logprobs=False, presence_penalty=0,
        logit_bias=None, parallel_tool_calls=True,
    )  # fmt: skip
    generation = request.generation
    assert generation.sampling == {"temperature": 0.5, "top_p": 0.9, "top_k": 5}
    assert (generation.n, generation.seed, generation.stop) == (2, 7, ("x",))
    assert generation.max_tokens == 9 and generation.stream and generation.include_usage
    assert request.template_options == {"enable_thinking": False}
    assert generation.sampling_of(1, 50)["seed"] == 8, "every choice draws for itself"
    assert chat().generation.seed != chat().generation.seed, "drawn where none is given"


def test_messages_become_what_templates_take() -> None:
    request = chat(
        messages=[
            {"role": "developer", "content": "Be kind."},
            {"role": "user", "content": [{"type": "text", "text": "a"},
                                         {"type": "text", "text": "b"}]},
            {"role": "assistant", "tool_calls": [CALL], "reasoning": "hm"},
            {"role": "tool", "tool_call_id": "1", "content": "4", "name": None},
        ]
    )  # fmt: skip
    system, user, assistant, tool = request.messages
    assert system == {"role": "system", "content": "Be kind."}
    assert user["content"] == "a\nb"
    assert assistant["tool_calls"][0]["function"]["arguments"] == {"a": 1}
    assert assistant["reasoning_content"] == "hm" and assistant["content"] == ""
    assert "name" not in tool


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"messages": []}, "messages"),
        ({"messages": "hi"}, "messages"),
        ({"messages": ["hi"]}, "messages[0]"),
        ({"messages": [{"role": "robot", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"content": "x"}]}, "messages[0].role"),
        ({"messages": [USER, {"role": "user"}]}, "messages[1].content"),
        ({"messages": [{**USER, "mood": "good"}]}, "messages[0].mood"),
        ({"messages": [{"role": "user", "content": 3}]}, "messages[0].content"),
        ({"messages": [{"role": "assistant"}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url":
                                                    {"url": "x"}}]}]}, "messages[0].content[0]"),
        ({"messages": [{"role": "assistant", "tool_calls": [
            {**CALL, "function": {"name": "f", "arguments": "no"}}]}]},
         "messages[0].tool_calls[0].function.arguments"),
        ({"model": None}, "model"),
        ({"model": 3}, "model"),
        ({"n": 0}, "n"),
        ({"n": 1.5}, "n"),
        ({"n": True}, "n"),
        ({"seed": "x"}, "seed"),
        ({"stream": "yes"}, "stream"),
        ({"stream_options": {"include_usage": True}}, "stream_options"),
        ({"stream": True, "stream_options": {"x": 1}}, "stream_options.x"),
        ({"temperature": -1}, "temperature"),
        ({"temperature": float("nan")}, "temperature"),
        ({"top_p": 0}, "top_p"),
        ({"stop": ["a"] * 17}, "stop"),
        ({"stop": ""}, "stop"),
        ({"stop": [1]}, "stop[0]"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": 5, "max_completion_tokens": 6}, "max_tokens"),
        ({"tools": [{"type": "function", "function": {}}]}, "tools[0].function.name"),
        ({"tools": [{"type": "custom", "custom": {"name": "x"}}]}, "tools[0].type"),
        ({"tool_choice": "auto"}, "tool_choice"),
        ({"functions": [{"name": "f"}]}, "functions"),
        ({"presence_penalty": 1}, "presence_penalty"),
        ({"top_logprobs": 3}, "top_logprobs"),
        ({"modalities": ["audio"]}, "modalities"),
        ({"max_token": 3}, "max_token"),
        ({"chat_template_kwargs": {"messages": []}}, "chat_template_kwargs.messages"),
        ({"rerail": "audit"}, "rerail"),
        ({"rerail": {"hold": True}}, "rerail.hold"),
        ({"rerail": {"topic": "a\x00b"}}, "rerail.topic"),
        ({"rerail": {"refusals": ["x"]}}, "rerail.refusals"),
    ],
)  # fmt: skip
def test_the_field_that_is_wrong_is_named(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(ApiError) as caught:
        chat(**fields)
    assert caught.value.param == param
    assert caught.value.status in (400, 404)
    assert param.split("[")[0].split(".")[0] in caught.value.message


@pytest.mark.parametrize(
    ("prompt", "num"), [("a", 1), (["a", "b"], 2), ([1, 2, 3], 1), ([[1, 2], [3]], 2)]
)
def test_prompts_of_completions(prompt: Any, num: int) -> None:
    body = {"model": "talker", "prompt": prompt, "n": 2}
    assert len(read_completion(body, engine(), max_choices=8).prompts) == num


@pytest.mark.parametrize("prompt", [None, [], [[]], ["a", 1], [""], {"a": 1}, ["a"] * 5])
def test_prompts_that_are_none(prompt: Any) -> None:
    with pytest.raises(ApiError) as caught:
        read_completion({"model": "talker", "prompt": prompt, "n": 2}, engine(), max_choices=8)
    assert (caught.value.param or "").startswith("prompt")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=6,
)
NAMES = [
    "messages", "model", "n", "stop", "tools", "tool_choice", "stream_options", "rerail", "seed",
    "temperature", "chat_template_kwargs", "max_tokens", "logit_bias", "metadata", "user", "x",
]  # fmt: skip


@given(st.dictionaries(st.sampled_from(NAMES), JSON), JSON)
def test_no_body_brings_anything_but_an_api_error(fields: dict[str, Any], body: Any) -> None:
    """Anything else would be a 500, and an entry in somebody's error log."""
    for each in (body, {"model": "talker", "messages": [USER], **fields}):
        try:
            read_chat(read_body(json.dumps(each).encode()), engine(), max_choices=8)
        except ApiError as error:
            assert 400 <= error.status < 500
