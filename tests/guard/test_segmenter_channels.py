"""Channels and control markup: think tags, tool calls, harmony; whole and split over tokens."""

import pytest

from rerail.guard.channels import Channel
from rerail.guard.reasoning_format import FORMATS
from rerail.guard.segmenter import Segmenter

R, A, T = Channel.REASONING, Channel.ANSWER, Channel.TOOL_CALL
CALL = '<tool_call>{"name": "f"}</tool_call>'
DEEPSEEK_CALL = (
    "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>f\n```json\n"
    '{"a": 1}\n```<｜tool▁call▁end｜><｜tool▁calls▁end｜>'
)
HEADER = "<|start|>assistant<|channel|>"

Case = tuple[str, bool, str, list[tuple[Channel, str]]]

CASES: list[Case] = [
    ("r1", True, "Hm. Ok.\n</think>\n\nHi.", [(R, "Hm."), (R, "Ok."), (A, "Hi.")]),
    ("r1", True, "never closed. So on", [(R, "never closed."), (R, "so on".capitalize())]),
    ("r1", True, "cut mid</think>word", [(R, "cut mid"), (A, "word")]),
    ("r1", True, "A</think>B <think>again</think> C", [(R, "A"), (A, "B"), (R, "again"), (A, "C")]),
    ("r1", True, "A <think>nested</think>B", [(R, "A"), (R, "nested"), (A, "B")]),
    ("qwen3", False, "<think>\nHm.\n</think>\n\nHi.", [(R, "Hm."), (A, "Hi.")]),
    ("qwen3", False, "No tags. At all.", [(A, "No tags."), (A, "At all.")]),
    ("qwen3", False, "Stray </think> end.", [(A, "Stray"), (A, "end.")]),
    ("qwen3", True, "Hm.</think>Hi.", [(R, "Hm."), (A, "Hi.")]),
    ("qwen3", False, "<think>Hm.\n", [(R, "Hm.")]),
    ("qwen3", False, "<Think>no</THINK>", [(A, "<Think>no</THINK>")]),
    ("qwen3", False, "< think> </ think>", [(A, "< think> </ think>")]),
    ("qwen3", False, "<think><think>x", [(R, "x")]),
    ("r1", True, "x <thinking> y", [(R, "x <thinking> y")]),
    ("r1", True, "a <|channel|>final<|message|> b", [(R, "a <|channel|>final<|message|> b")]),
    ("none", False, "<think>x</think>", [(A, "<think>x</think>")]),
    ("none", False, f"I call. {CALL} Ok.", [(A, "I call."), (T, '{"name": "f"}'), (A, "Ok.")]),
    ("r1", True, f"Go {CALL} on</think>x", [(R, "Go"), (T, '{"name": "f"}'), (R, "on"), (A, "x")]),
    ("r1", True, "<tool_call>a <think> b", [(T, "a <think> b")]),
    ("r1", True, "<tool_call>a</tool_call> b", [(T, "a"), (R, "b")]),
    ("r1", True, "<tool_call>a<tool_call>b</tool_call>c", [(T, "a"), (T, "b"), (R, "c")]),
    ("r1", True, "a</tool_call>b", [(R, "a"), (R, "b")]),
    (
        "r1",
        True,
        f"x</think>{DEEPSEEK_CALL}Done.",
        [(R, "x"), (T, "function"), (T, "f"), (T, '```json\n{"a": 1}\n```'), (A, "Done.")],
    ),
    (
        "harmony",
        False,
        f"<|channel|>analysis<|message|>Hm. So.<|end|>{HEADER}final<|message|>Hi.<|return|>",
        [(R, "Hm."), (R, "So."), (A, "Hi.")],
    ),
    ("harmony", True, f"Hm.<|end|>{HEADER}final<|message|>Hi.", [(R, "Hm."), (A, "Hi.")]),
    (
        "harmony",
        True,
        f"Hm.<|end|>{HEADER}commentary to=functions.f <|constrain|>json<|message|>[1]<|call|>",
        [(R, "Hm."), (T, "[1]")],
    ),
    (
        "harmony",
        False,
        " to=functions.f<|channel|>commentary<|constrain|>json<|message|>{}<|call|>",
        [(T, "{}")],
    ),
    (
        "harmony",
        True,
        "x<|end|><|start|>assistant to=f<|channel|>commentary json<|message|>{}",
        [(R, "x"), (T, "{}")],
    ),
    ("harmony", False, "<|channel|>commentary<|message|>I will call.", [(A, "I will call.")]),
    ("harmony", False, "<|message|>Hi.", [(A, "Hi.")]),
    ("harmony", False, "No header. At all.", [(A, "No header."), (A, "At all.")]),
    ("harmony", False, " to be or not.", [(A, "to be or not.")]),
    ("harmony", False, "<|channel|>\nHow to", [(A, "<|channel|>"), (A, "How to")]),
    ("harmony", True, "x<|end|>unguarded?", [(R, "x"), (A, "unguarded?")]),
    ("harmony", True, "a <think>b</think> c", [(R, "a <think>b</think> c")]),
    ("harmony", False, "<|channel|>" + "w" * 65, [(A, "<|channel|>" + "w" * 65)]),
]


def ids(case: Case) -> str:
    return f"{case[0]}:{case[2][:30]}"


def start(name: str, reasoning_open: bool) -> Segmenter:
    return Segmenter(FORMATS[name], reasoning_open=reasoning_open)


@pytest.mark.parametrize("size", [1, 3, 1000])
@pytest.mark.parametrize("case", CASES, ids=ids)
def test_channels(case: Case, size: int) -> None:
    name, reasoning_open, text, expected = case
    segmenter = start(name, reasoning_open)
    steps = [
        step for at in range(0, len(text), size) for step in segmenter.feed(text[at : at + size])
    ]
    assert [(step.channel, step.text) for step in steps + segmenter.flush()] == expected


def test_markup_and_blanks_are_in_no_step():
    segmenter = start("qwen3", False)
    pieces = segmenter.read("<think>\nHm.\n</think>\n\nHi") + segmenter.end()
    assert [(piece.text, piece.channel, piece.inside_step) for piece in pieces] == [
        ("<think>", None, False),
        ("\n", R, False),
        ("Hm.", R, True),
        ("\n", R, False),
        ("</think>", None, False),
        ("\n\n", A, False),
        ("Hi", A, True),
        ("", A, True),
    ]


def test_a_tag_split_over_tokens_is_withheld_until_it_is_known():
    segmenter = start("r1", True)
    given = [[piece.text for piece in segmenter.read(t)] for t in ("so", "</", "thi", "nk>", "a")]
    assert given == [["so"], [], [], ["", "</think>"], ["a"]]
    segmenter = start("r1", True)
    given = [[piece.text for piece in segmenter.read(t)] for t in ("so", " </", "b", ">.")]
    assert given == [["so"], [], [" </b"], [">."]]


def test_a_tool_calls_steps_cut_at_its_opening_tag():
    """A trigger written into the arguments would break the call."""
    segmenter = start("r1", True)
    text = "Fine. <tool_call>\none\ntwo\n</tool_call>\nthree\n"
    steps = segmenter.feed(text[:24])
    assert segmenter.mark().offset == 6
    steps += segmenter.feed(text[24:])
    assert [(step.text, step.mark.offset, step.mark.num_steps) for step in steps] == [
        ("Fine.", 0, 0),
        ("one", 6, 1),
        ("two", 6, 1),
        ("three", text.index("three"), 3),
    ]
    segmenter.rewind(steps[2].mark)
    assert segmenter.channel is R
    assert [(step.index, step.channel) for step in segmenter.feed("Stop. ")] == [(1, R)]


def test_rewind_to_a_harmony_call_goes_back_before_its_header():
    segmenter = start("harmony", True)
    text = f"Hm.<|end|>{HEADER}commentary to=f<|message|>{{}}"
    segmenter.read(text)
    mark = segmenter.mark()
    assert text[: mark.offset] == "Hm.<|end|>"
    segmenter.rewind(mark)
    lead_in = segmenter.lead_in(R)
    assert lead_in == "<|start|>assistant<|channel|>analysis<|message|>"
    assert [(step.channel, step.text) for step in segmenter.feed(lead_in + "Stop. ")] == [
        (R, "Stop.")
    ]


@pytest.mark.parametrize(
    ("name", "reasoning_open", "text", "channel", "expected"),
    [
        ("r1", True, "Hm", R, ""),
        ("r1", True, "Hm", A, "</think>\n\n"),
        ("qwen3", False, "Hi", R, "<think>\n"),
        ("qwen3", False, "<tool_call>{}</tool_call>", A, ""),
        ("none", False, "Hi", A, ""),
        ("harmony", True, "Hm", A, "<|end|><|start|>assistant<|channel|>final<|message|>"),
        ("harmony", True, "Hm<|end|>", A, "<|start|>assistant<|channel|>final<|message|>"),
        ("harmony", False, "", A, "<|channel|>final<|message|>"),
        ("harmony", False, "", R, "<|channel|>analysis<|message|>"),
    ],
)
def test_lead_in(
    name: str, reasoning_open: bool, text: str, channel: Channel, expected: str
) -> None:
    segmenter = start(name, reasoning_open)
    segmenter.read(text)
    assert segmenter.lead_in(channel) == expected
    segmenter.read(expected)
    assert segmenter.channel is channel
    assert segmenter.lead_in(channel) == ""


def test_no_lead_in_where_there_is_no_way():
    with pytest.raises(ValueError, match="no chain of thought"):
        start("none", False).lead_in(R)
    segmenter = start("r1", True)
    segmenter.read("<tool_call>{")
    with pytest.raises(ValueError, match="rewind to its mark"):
        segmenter.lead_in(A)
