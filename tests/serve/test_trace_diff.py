"""Two traces aligned by step."""

from dataclasses import replace

from golden_traces import CALM, TRACES, scripted_trace
from hypothesis import given
from hypothesis import strategies as st

from rerail.serve.lines import text_of, width_of
from rerail.serve.story import Story
from rerail.serve.themes import MONO, SPOKEN
from rerail.serve.trace_diff import Change, aligned, render_diff


def test_guarded_and_unguarded_are_aligned_by_step() -> None:
    first = "One. Two. A bad thought. Four." + CALM
    base = scripted_trace([first], None)
    from fakes import WordDetector

    guarded = scripted_trace([first, " Four." + CALM], WordDetector(at_end=["bad"]))
    pairs = list(aligned(Story.of(base).rows, Story.of(guarded).rows))
    changes = [pair.change for pair in pairs]
    same, different = Change.SAME, Change.DIFFERENT
    assert changes == [same, same, different, Change.ONLY_B, *[same] * 5]
    assert pairs[4].a is not None and pairs[4].a.text == "Four."
    wide = text_of(render_diff(base, guarded, 160, MONO).lines)
    (line,) = [line for line in wide.splitlines() if "One." in line]
    assert line.count("One.") == 2 and " = " in line
    assert "INJECTED safety trigger" in wide and "7 same, 1 different, 1 only in B" in wide
    narrow = text_of(render_diff(base, guarded, 80, SPOKEN).lines)
    assert narrow.count("One.") == 1 and "both" in narrow


def test_different_requests_are_said_to_differ() -> None:
    text = text_of(render_diff(TRACES["intervened"](), TRACES["allowed"](), 120, MONO).lines)
    assert "The requests differ." in text and "request B" in text


def test_facts_that_differ_are_shown_of_both() -> None:
    trace = TRACES["allowed"]()
    text = text_of(render_diff(trace, replace(trace, model="trained"), 80, MONO).lines)
    assert "model A:" in text and "model B:" in text and "detector:" in text
    assert "only in" not in text.split("facts")[0]


@given(st.lists(st.sampled_from("abcd")), st.lists(st.sampled_from("abcd")))
def test_every_step_comes_exactly_once_and_in_order(a: list[str], b: list[str]) -> None:
    one = Story.of(scripted_trace([" ".join(f"Step {x}." for x in a) or "x"], None)).rows
    two = Story.of(scripted_trace([" ".join(f"Step {x}." for x in b) or "x"], None)).rows
    pairs = list(aligned(one, two))
    assert [pair.a for pair in pairs if pair.a is not None] == list(one)
    assert [pair.b for pair in pairs if pair.b is not None] == list(two)


def test_no_line_is_wider_than_the_terminal() -> None:
    for width in (40, 80, 110, 200):
        for name in TRACES:
            lines = render_diff(TRACES[name](), TRACES["intervened"](), width, MONO).lines
            assert max(map(width_of, lines)) <= width
