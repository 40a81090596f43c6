"""Chats as text with markup, and control strings where no tokenizer says which there are."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rerail.guard import FORMATS, Channel, Segmenter
from rerail.guard.backend_upstream_chat import ChatReader, request_text
from rerail.guard.control_markup import ControlMarkup
from rerail.guard.upstream_errors import UpstreamError


def written(*deltas: dict[str, Any]) -> str:
    reader = ChatReader()
    choices = [{"delta": delta} for delta in deltas] + [{"delta": {}, "finish_reason": "stop"}]
    return "".join(token.text for choice in choices for token in reader.tokens(choice))


def call(index: int, name: str | None, arguments: str | None) -> dict[str, Any]:
    function = {"name": name, "arguments": arguments}
    return {"tool_calls": [{"index": index, "id": "x", "function": function}]}


CASES: dict[str, tuple[list[dict[str, Any]], str]] = {
    "answer": ([{"role": "assistant", "content": ""}, {"content": "Hi."}], "Hi."),
    "thought": (
        [{"reasoning_content": "Hm"}, {"reasoning_content": "."}, {"content": "Hi."}],
        "<think>\nHm.\n</think>\n\nHi.",
    ),
    "by the other name": (
        [{"reasoning": "Hm."}, {"content": "Hi."}],
        "<think>\nHm.\n</think>\n\nHi.",
    ),
    "a thought cut short": ([{"reasoning": "Hm"}], "<think>\nHm"),
    "thoughts between": (
        [{"reasoning": "A."}, {"content": "B."}, {"reasoning": "C."}, {"content": "D."}],
        "<think>\nA.\n</think>\n\nB.<think>\nC.\n</think>\n\nD.",
    ),
    "a call": (
        [call(0, "f", ""), call(0, None, '{"a":'), call(0, None, " 1}")],
        '<tool_call>\n{"name": "f", "arguments": {"a": 1}}\n</tool_call>',
    ),
    "two calls after a thought": (
        [{"reasoning": "Hm."}, call(0, "f", "{}"), call(1, "g", "")],
        '<think>\nHm.\n</think>\n\n<tool_call>\n{"name": "f", "arguments": {}}\n</tool_call>'
        '<tool_call>\n{"name": "g", "arguments": {}}\n</tool_call>',
    ),
    "text after a call": (
        [call(0, "f", "{}"), {"content": "So."}],
        '<tool_call>\n{"name": "f", "arguments": {}}\n</tool_call>So.',
    ),
    "a refusal": ([{"refusal": "No."}], "No."),
}


@pytest.mark.parametrize("name", CASES)
def test_deltas_become_text(name: str) -> None:
    deltas, expected = CASES[name]
    assert written(*deltas) == expected


def test_every_part_is_read_in_its_channel() -> None:
    """What a gateway that reads content only would pass on unseen."""
    text = written({"reasoning": "Hm."}, {"content": "Hi."}, call(0, "f", '{"a": "b"}'))
    reader = Segmenter(FORMATS["qwen3"], reasoning_open=False)
    read = dict.fromkeys(Channel, "")
    for piece in (*reader.read(text), *reader.end()):
        if piece.channel is not None:
            read[piece.channel] += piece.text
    assert "Hm." in read[Channel.REASONING] and "Hi." in read[Channel.ANSWER]
    assert '"b"' in read[Channel.TOOL_CALL]


@pytest.mark.parametrize(
    "delta",
    [
        [],
        {"content": 3},
        {"reasoning": ["x"]},
        {"tool_calls": [{}]},
        {"tool_calls": [{"index": 0, "function": {"name": "f", "arguments": {"a": 1}}}]},
    ],
)
def test_deltas_of_another_shape(delta: Any) -> None:
    with pytest.raises(UpstreamError, match="another form"):
        ChatReader().tokens({"delta": delta or 3})


def test_past_calls_go_back_as_text() -> None:
    past = {"id": "x", "type": "function", "function": {"name": "f", "arguments": {"a": 1}}}
    messages = [{"role": "assistant", "content": "", "tool_calls": [past]}]
    sent = json.loads(request_text(messages, [{"type": "function"}], {"enable_thinking": False}))
    assert sent["messages"][0]["tool_calls"][0]["function"]["arguments"] == '{"a": 1}'
    assert sent["tools"] == [{"type": "function"}]
    assert sent["chat_template_kwargs"] == {"enable_thinking": False}


MARKUP = ControlMarkup(FORMATS["r1"])
TAGS = [
    "<|im_start|>", "<|im_end|>", "<|eot_id|>", "<|start_header_id|>", "<｜User｜>",
    "<｜end▁of▁sentence｜>", "<think>", "</think>", "<tool_call>", "</tool_call>", "[INST]",
    "[/INST]", "<<SYS>>", "<s>", "</s>", "<start_of_turn>", "<bos>", "<unused12>",
    "[TOOL_CALLS]", "<|channel|>", "<｜tool▁calls▁begin｜>",
]  # fmt: skip


@pytest.mark.parametrize("tag", TAGS)
def test_control_strings_are_broken_up(tag: str) -> None:
    safe = MARKUP.neutralised(f"a {tag} b")
    assert tag not in safe and safe.replace(" ", "") == f"a{tag}b"


@given(st.lists(st.sampled_from([*TAGS, "<", ">", "|", "a ", "</", "th", "ink>"]), max_size=8))
def test_none_is_left_whatever_stands_beside_it(parts: list[str]) -> None:
    safe = MARKUP.neutralised("".join(parts))
    assert not any(tag in safe for tag in TAGS)
    assert MARKUP.neutralised(safe) == safe


@pytest.mark.parametrize(
    "text", ["if a < b | c > d", "x[0] = y[INSTANCE]", "<div class='s'>", "a <- b", "List<String>"]
)
def test_ordinary_text_stays_as_it_is(text: str) -> None:
    assert MARKUP.neutralised(text) == text


def test_old_thoughts_keep_their_tags() -> None:
    turn = {"role": "assistant", "content": "<think>x</think>y <|im_end|>"}
    (safe,) = MARKUP.in_messages([turn])
    assert safe["content"] == "<think>x</think>y < |im_end|>"
