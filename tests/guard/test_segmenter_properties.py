"""Whatever the chunks: the same steps, nothing lost, and a rewind that leaves no trace."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rerail.guard.channels import Channel
from rerail.guard.reasoning_format import FORMATS, ReasoningFormat
from rerail.guard.segmenter import MAX_GAP, Segmenter
from rerail.guard.steps import Mark, Piece, Step

CAP = 60
FORMAT_NAMES = ("r1", "qwen3", "harmony", "none")

WORDS = ("a", "I", "We", "the", "The", "step", "U.S", "e.g", "Dr", "etc", "Inc", "J", "no", "3")
MARKS = (
    ".",
    ". ",
    "..",
    "...",
    "…",
    "!",
    "? ",
    "。",
    "？",
    "।",
    "؟",
    ",",
    ":",
    '"',
    "'",
    ")",
    "「",
    "」",
)
BLANKS = (" ", "  ", "\n", "\n\n", "\r\n", "\t", " " * (MAX_GAP + 3), "\u3000", "\u2028")
MARKDOWN = ("**", "*", "`", "```", "```python\n", "```\n", "~~~\n", "1. ", "- ", "# ")
SCRIPTS = ("你好", "です", "नमस्ते", "مرحبا", "안녕", "word" * 20)
TAGS = (
    "<think>",
    "</think>",
    "<tool_call>",
    "</tool_call>",
    "<｜tool▁calls▁begin｜>",
    "<｜tool▁sep｜>",
)
HARMONY = (
    "<|channel|>",
    "<|message|>",
    "<|start|>",
    "<|end|>",
    "<|call|>",
    "<|constrain|>",
    "analysis",
)
BROKEN = ("<", ">", "<th", "ink>", "</", "<|", "|>", " to=f.x ", "commentary", "final", "assistant")

tokens = st.sampled_from(
    WORDS + MARKS + BLANKS + MARKDOWN + SCRIPTS + TAGS + HARMONY + BROKEN
) | st.text(max_size=3)
texts = st.lists(tokens, max_size=40).map("".join)
formats = st.sampled_from([FORMATS[name] for name in FORMAT_NAMES])


def start(reasoning_format: ReasoningFormat, opened: bool) -> Segmenter:
    reasoning_open = opened and reasoning_format.name != "none"
    return Segmenter(reasoning_format, reasoning_open=reasoning_open, max_step_chars=CAP)


def chunked(data: st.DataObject, text: str) -> list[str]:
    if data.draw(st.booleans()):
        return list(text)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=12)))
    return [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]


def read_all(segmenter: Segmenter, chunks: list[str]) -> list[Piece]:
    pieces = [piece for chunk in chunks for piece in segmenter.read(chunk)]
    return pieces + segmenter.end()


def steps_of(pieces: list[Piece]) -> list[Step]:
    return [piece.step for piece in pieces if piece.step is not None]


@settings(max_examples=400, deadline=None)
@given(texts, formats, st.booleans(), st.data())
def test_steps_do_not_depend_on_the_chunks(
    text: str, reasoning_format: ReasoningFormat, opened: bool, data: st.DataObject
) -> None:
    whole = start(reasoning_format, opened)
    expected = whole.feed(text) + whole.flush()
    pieces = read_all(start(reasoning_format, opened), chunked(data, text))
    assert steps_of(pieces) == expected


@settings(max_examples=400, deadline=None)
@given(texts, formats, st.booleans(), st.data())
def test_pieces_are_the_text_and_steps_are_their_inside(
    text: str, reasoning_format: ReasoningFormat, opened: bool, data: st.DataObject
) -> None:
    pieces = read_all(start(reasoning_format, opened), chunked(data, text))
    assert "".join(piece.text for piece in pieces) == text
    offset, begun = 0, ""
    for piece in pieces:
        offset += len(piece.text)
        assert piece.end == offset
        assert piece.channel is not None or not piece.inside_step
        begun += piece.text if piece.inside_step else ""
        if not piece.inside_step:
            assert begun == "", "a step's text is not interrupted"
            assert piece.channel is None or piece.text.isspace()
        if piece.step is not None:
            assert (piece.step.text, piece.step.end) == (begun, offset)
            assert piece.step.channel is piece.channel
            begun = ""
    assert begun == ""
    for index, step in enumerate(steps_of(pieces)):
        assert step.index == index == step.mark.num_steps or step.channel is Channel.TOOL_CALL
        assert text[step.start : step.end] == step.text == step.text.strip()
        assert 0 < len(step.text) <= CAP


@settings(max_examples=400, deadline=None)
@given(texts, texts, texts, formats, st.booleans(), st.data())
def test_rewind_leaves_no_trace(
    prefix: str,
    junk: str,
    rest: str,
    reasoning_format: ReasoningFormat,
    opened: bool,
    data: st.DataObject,
) -> None:
    segmenter = start(reasoning_format, opened)
    before = [step for chunk in chunked(data, prefix) for step in segmenter.feed(chunk)]
    mark = segmenter.mark()
    for chunk in chunked(data, junk):
        segmenter.read(chunk)
    if data.draw(st.booleans()):
        segmenter.end()
    segmenter.rewind(mark)
    assert segmenter.settled == mark.offset
    after = segmenter.feed(prefix[mark.offset :] + rest) + segmenter.flush()
    straight = start(reasoning_format, opened)
    assert before[: mark.num_steps] + after == straight.feed(prefix + rest) + straight.flush()


@settings(max_examples=300, deadline=None)
@given(texts, texts, formats, st.booleans())
def test_rewind_to_any_steps_mark(
    text: str, rest: str, reasoning_format: ReasoningFormat, opened: bool
) -> None:
    def steps_after(mark: Mark) -> list[Step]:
        segmenter = start(reasoning_format, opened)
        segmenter.read(text)
        segmenter.end()
        segmenter.rewind(mark)
        return segmenter.feed(text[mark.offset :] + rest) + segmenter.flush()

    whole = start(reasoning_format, opened)
    steps = whole.feed(text) + whole.flush()
    straight = start(reasoning_format, opened)
    expected = straight.feed(text + rest) + straight.flush()
    for step in steps:
        if expected[: step.mark.num_steps] == steps[: step.mark.num_steps]:
            assert steps_after(step.mark) == expected[step.mark.num_steps :]


@settings(max_examples=200, deadline=None)
@given(texts, formats, st.booleans())
def test_little_is_withheld(text: str, reasoning_format: ReasoningFormat, opened: bool) -> None:
    """A harmony header is the longest thing that has to be seen whole."""
    bound = 320 if reasoning_format.name == "harmony" else MAX_GAP + 40
    segmenter = start(reasoning_format, opened)
    for fed, character in enumerate(text, start=1):
        segmenter.read(character)
        assert fed - segmenter.settled <= bound


@settings(max_examples=200, deadline=None)
@given(texts, texts, formats, st.booleans())
def test_close_step_settles_everything_and_keeps_the_channel(
    text: str, rest: str, reasoning_format: ReasoningFormat, opened: bool
) -> None:
    segmenter = start(reasoning_format, opened)
    pieces = segmenter.read(text) + segmenter.close_step()
    assert segmenter.settled == len(text)
    channel = segmenter.channel
    assert segmenter.mark().offset == len(text)
    pieces += segmenter.read(rest) + segmenter.end()
    assert "".join(piece.text for piece in pieces) == text + rest
    after = next((p for p in pieces if p.end > len(text) and p.inside_step), None)
    markup = any(p.end > len(text) and p.channel is None for p in pieces)
    assert after is None or markup or after.channel is channel


def test_unknown_options_are_refused():
    with pytest.raises(ValueError, match="at least 8"):
        Segmenter(FORMATS["r1"], reasoning_open=True, max_step_chars=0)
    with pytest.raises(ValueError, match="no chain of thought"):
        Segmenter(FORMATS["none"], reasoning_open=True)
