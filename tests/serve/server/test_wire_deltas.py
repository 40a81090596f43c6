"""From released text to deltas: any pieces, the same answer; what leaked is taken back exactly."""

from collections.abc import Callable, Sequence

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from rerail.guard import Channel, Released, Retracted
from rerail.serve.stop_strings import StopCut
from rerail.serve.wire_deltas import ChatDraft, Deltas, Draft, PlainDraft, Whole

R, A, T = Channel.REASONING, Channel.ANSWER, Channel.TOOL_CALL
Text = tuple[str, Channel | None]
CALL = '\n{"name": "f", "arguments": {"a": [1]}}\n'


def chat(*stops: str, tools: bool = True) -> Callable[[], Draft]:
    return lambda: ChatDraft(stops, tools=tools, new_call_id=lambda index: f"call_{index}")


def whole_of(texts: Sequence[Text], new_draft: Callable[[], Draft]) -> Whole:
    deltas, whole, end = Deltas(new_draft), Whole(), 0
    for text, channel in texts:
        end += len(text)
        whole.add(deltas.take(Released(text, channel, end)))
    whole.add(deltas.flush())
    return whole


ANSWER: list[Text] = [
    ("\n Let me think. \n", R),
    ("</think>", None),
    ("\n\nFour is ", A),
    ("<tool_call>", None),
    (CALL, T),
    ("</tool_call>", None),
    ("\nthe answer. \n", A),
]


def test_parts_are_apart() -> None:
    whole = whole_of(ANSWER, chat())
    assert whole.reasoning == "Let me think."
    assert whole.content == "Four is \nthe answer."
    (call,) = whole.tool_calls
    assert (call.id, call.name, call.arguments) == ("call_0", "f", '{"a": [1]}')


@given(st.lists(st.integers(1, 9), min_size=80, max_size=80), st.sampled_from(["", "is", "\n"]))
def test_any_pieces_give_the_same(sizes: list[int], stop: str) -> None:
    pieces: list[Text] = []
    for text, channel in ANSWER:
        while text and channel is not None:
            size = sizes[len(pieces) % 80]
            pieces.append((text[:size], channel))
            text = text[size:]
        if text:
            pieces.append((text, channel))
    stops = (stop,) if stop else ()
    assert whole_of(pieces, chat(*stops)) == whole_of(ANSWER, chat(*stops))


@pytest.mark.parametrize(
    "body",
    ["", "no JSON", "[]", '{"arguments": {}}', '{"name": 3}', '{"name": "f", "arguments": 3}'],
)
def test_what_is_no_call_is_content(body: str) -> None:
    texts: list[Text] = [("<tool_call>", None), (body or " ", T), ("</tool_call>", None)]
    whole = whole_of(texts, chat())
    assert not whole.tool_calls
    assert whole.content == f"<tool_call>{body or ' '}</tool_call>"


def test_a_call_cut_short_is_no_call() -> None:
    texts: list[Text] = [("<tool_call>", None), ('{"name": "f", "argu', T)]
    assert whole_of(texts, chat()).content.startswith("<tool_call>{")


def test_harmony_calls() -> None:
    header = "<|start|>assistant<|channel|>commentary to=functions.get_it <|constrain|>json"
    texts: list[Text] = [(f"{header}<|message|>", None), ('{"a": 1}', T), ("<|call|>", None)]
    (call,) = whole_of(texts, chat()).tool_calls
    assert (call.name, call.arguments) == ("get_it", '{"a": 1}')


@example("\naa", ["a", "\naa"], [1] * 30)  # the one that is complete first, in any pieces
@given(
    st.text("ab\n ", max_size=30),
    st.lists(st.text("ab\n", min_size=1, max_size=4), min_size=1, max_size=3),
    st.lists(st.integers(1, 5), min_size=30, max_size=30),
)
def test_stop_strings(text: str, stops: list[str], sizes: list[int]) -> None:
    cut, given_out, start = StopCut(stops), "", 0
    for size in sizes:
        given_out += cut.feed(text[start : start + size])
        start += size
    given_out += cut.flush()
    found = [(text.find(stop) + len(stop), text.find(stop)) for stop in stops if stop in text]
    assert given_out == (text[: min(found)[1]] if found else text)
    assert cut.found is bool(found)


@given(
    st.lists(st.tuples(st.text("xy \n", min_size=1, max_size=6), st.sampled_from([R, A]))),
    st.data(),
)
def test_what_is_taken_back_leaves_what_would_have_been(
    texts: list[Text], data: st.DataObject
) -> None:
    total = sum(len(text) for text, _ in texts)
    end = data.draw(st.integers(0, total))
    after: list[Text] = [("safe", A)]
    deltas, got, at = Deltas(chat()), Whole(), 0
    for text, channel in texts:
        at += len(text)
        got.add(deltas.take(Released(text, channel, at)))
    got.add(deltas.take(Retracted("...", 1, end)))
    stays: list[Text] = []
    at = 0
    for text, channel in texts:
        if kept := text[: max(0, end - at)]:
            stays.append((kept, channel))
        at += len(text)
    got.add(deltas.take(Released("safe", A, end + 4)))
    got.add(deltas.flush())
    wanted = whole_of([*stays, *after], chat())
    assert (got.reasoning, got.content) == (wanted.reasoning, wanted.content)


def test_plain_text_is_as_it_is() -> None:
    whole = whole_of(ANSWER, lambda: PlainDraft(()))
    assert whole.content == "".join(text for text, _ in ANSWER)
    assert whole_of(ANSWER, lambda: PlainDraft(("think",))).content == "\n Let me "
