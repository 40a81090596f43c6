"""What the viewer draws: pictures over golden traces, widths, words, and hostile text."""

from dataclasses import replace

import pytest
from fakes import WordDetector
from golden_traces import FOLDER, TRACES, picture, pictures, scripted_trace
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from rerail.guard import Trace
from rerail.guard.detector import Threshold
from rerail.serve.lines import text_of, width_of, wrapped
from rerail.serve.story import Firing, Kind, Story, would_fire
from rerail.serve.themes import DARK, LIGHT, MONO, SPOKEN, THEMES
from rerail.serve.trace_render import render
from rerail.serve.visible import visible

PICTURES = dict(pictures())


@pytest.mark.parametrize("name", PICTURES)
def test_picture_is_as_it_was(name: str) -> None:
    assert PICTURES[name]() == (FOLDER / name).read_text(encoding="utf-8")


def test_no_picture_is_left_over() -> None:
    assert {path.name for path in FOLDER.iterdir()} == set(PICTURES)


@pytest.mark.parametrize("name", TRACES)
@pytest.mark.parametrize("theme", THEMES.values(), ids=lambda theme: theme.name)
@pytest.mark.parametrize("width", [40, 80, 109, 110, 200])
def test_no_line_is_wider_than_the_terminal(name: str, theme: object, width: int) -> None:
    for line in render(TRACES[name](), width, theme).lines:  # type: ignore[arg-type]
        assert width_of(line) <= width


def test_the_same_trace_gives_the_same_lines() -> None:
    trace = TRACES["intervened"]()
    assert render(trace, 100, DARK).lines == render(trace, 100, DARK).lines


@pytest.mark.parametrize("theme", THEMES.values(), ids=lambda theme: theme.name)
@pytest.mark.parametrize("width", [80, 200])
def test_words_say_what_colours_show(theme: object, width: int) -> None:
    text = text_of(render(TRACES["intervened"](), width, theme).lines)  # type: ignore[arg-type]
    for word in ("CUE", "rolled back", "INJECTED safety trigger", "0.95", "never released"):
        assert word in text
    assert "first, step 2 was rolled back" in " ".join(text.split())


def test_spoken_has_no_ornaments() -> None:
    """A screen reader spells out every bar and rule."""
    text = text_of(render(TRACES["intervened"](), 80, SPOKEN).lines)
    assert not set(text) & set("─│▁▂▃▄▅▆▇█+")


def test_branches_stand_side_by_side_where_there_is_room() -> None:
    wide = text_of(render(TRACES["intervened"](), 200, MONO).lines)
    (line,) = [line for line in wide.splitlines() if "Then the EVIL plan" in line]
    assert "INJECTED safety trigger" in line
    narrow = text_of(render(TRACES["intervened"](), 80, MONO).lines)
    assert not any("EVIL plan" in line and "INJECTED" in line for line in narrow.splitlines())


def test_dark_and_light_tint_tokens_by_score_and_strike_the_removed_branch() -> None:
    for theme in (DARK, LIGHT):
        lines = render(TRACES["intervened"](), 80, theme).lines
        segments = [segment for line in lines for segment in line]
        (hot,) = [segment for segment in segments if segment.text.strip() == "EVIL"]
        assert hot.style == theme.rows[Kind.REMOVED] + theme.level(0.95)
        assert hot.style is not None and hot.style.strike
        (calm,) = [s for s in segments if s.text == "The user asks for PLACEHOLDER."]
        assert calm.style == theme.level(0.1)


def test_mono_uses_no_colour() -> None:
    for line in render(TRACES["intervened"](), 200, MONO).lines:
        assert all(s.style is None or s.style.color is s.style.bgcolor is None for s in line)


@pytest.mark.parametrize("name", TRACES)
def test_rows_leave_nothing_of_the_kept_text_out(name: str) -> None:
    trace = TRACES[name]()
    rows = [row for row in Story.of(trace).rows if row.kind is not Kind.REMOVED]
    assert "".join(row.lead + row.text for row in rows) == trace.text.rstrip()


@given(st.lists(st.sampled_from(["Fine. ", "bad ", "So. ", "Hm", "</think>", "\n\n", " x"])))
def test_rows_leave_nothing_out_whatever_happens(words: list[str]) -> None:
    detector = WordDetector(at_end=["bad"])
    trace = scripted_trace(["".join(words) or "a", "Then " + "".join(words), "ok."], detector)
    rows = [row for row in Story.of(trace).rows if row.kind is not Kind.REMOVED]
    assert "".join(row.lead + row.text for row in rows).rstrip() == trace.text.rstrip()
    assert sum(row.kind is Kind.REMOVED for row in Story.of(trace).rows) == len(trace.interventions)


HOSTILE = [
    "\x1b[2J", "\x1b]8;;http://x\x1b\\", "\x1b]52;c;QUJD\x07", "\x9b2J", "\x9d0;t\x9c", "\x00",
    "\x07", "\x08", "\r", "\x7f", "\x0b", "\u202e", "\u2066", "\u200b", "\u2028", "\u061c",
    "\ufeff", "\U000e0041", "\ufff9",
]  # fmt: skip
ALLOWED_CONTROLS = {"\n", "\t"}


@pytest.mark.parametrize("text", HOSTILE, ids=ascii)
def test_what_a_terminal_would_act_on_is_written_out(text: str) -> None:
    shown = visible(f"a{text}b")
    assert shown.isprintable() and shown.startswith("a\\") and shown.endswith("b")


@given(st.text())
def test_visible_text_holds_no_control_character(text: str) -> None:
    import unicodedata

    for character in visible(text):
        assert unicodedata.category(character) not in ("Cc", "Cs") or character in ALLOWED_CONTROLS


@pytest.mark.parametrize("width", [80, 200])
@pytest.mark.parametrize("theme", THEMES.values(), ids=lambda theme: theme.name)
def test_hostile_model_text_never_reaches_the_terminal(theme: object, width: int) -> None:
    trace = TRACES["hostile"]()
    for sampling in ({"stop": "\x1b[2J"}, {"\x1b]0;t\x07": 1}):
        evil = replace(
            trace, model="m\x1b[2J", detector="d\x9b2J", topic="t\u202e", sampling=sampling,
            failures=("boom\x1b[2J",), finish_reason=trace.finish_reason,
        )  # fmt: skip
        text = text_of(render(evil, width, theme).lines)  # type: ignore[arg-type]
        assert all(c.isprintable() or c == "\n" for c in text)
    coloured = picture(trace, width, DARK)
    escapes = [part[:1] for part in coloured.split("\x1b")[1:]]
    assert set(escapes) == {"["} and "\x1b[2J" not in coloured and "[bold red]x[/]" in coloured


def test_wrapping_breaks_long_words_and_wide_characters() -> None:
    assert text_of(wrapped([("aaaa bb", MONO.quiet)], 3)) == "aaa\na\nbb\n"
    lines = wrapped([("長" * 5 + " a", MONO.quiet)], 5)
    assert [cell_len("".join(s.text for s in line)) for line in lines] == [4, 4, 4]


@given(st.text(alphabet="ab \n長👩\t", max_size=60), st.integers(2, 20))
def test_wrapping_keeps_every_character_but_blanks(text: str, width: int) -> None:
    lines = wrapped([(text, MONO.quiet)], width)
    assert all(width_of(line) <= width for line in lines)
    assert "".join(text_of(lines).split()) == "".join(text.split())


def test_other_thresholds_say_which_steps_would_have_fired() -> None:
    rows = [row for row in Story.of(TRACES["intervened"]()).rows if row.score is not None]

    def fired(inside: float, end: float) -> list[Firing | None]:
        return [would_fire(row, Threshold(inside, end)) for row in rows]

    passes, fires = Firing.PASSES, Firing.FIRES
    assert fired(0.9, 0.5)[:4] == [passes, fires, passes, fires]
    assert fired(0.9, 0.7)[:4] == [passes, fires, passes, passes]
    assert fired(0.99, 0.5)[:4] == [passes, Firing.UNKNOWN, passes, fires]
    assert set(fired(0.05, 0.05)) == {fires}


def test_a_long_trace_is_drawn_to_its_last_word_with_few_segments() -> None:
    """A segment for every token of 20,000 once made a terminal crawl."""
    trace = scripted_trace(["The word goes on and on here. " * 2500], WordDetector(), group=64)
    assert len(trace.tokens) >= 20_000
    lines = render(trace, 100, DARK).lines
    assert text_of(lines).count("The word goes on and on here.") == 2500
    assert sum(map(len, lines)) < 5 * len(lines) < len(trace.tokens)


def test_an_empty_generation_says_so() -> None:
    trace: Trace = scripted_trace([[]], WordDetector())  # type: ignore[list-item]
    assert "(nothing was generated)" in text_of(render(trace, 80, MONO).lines)
