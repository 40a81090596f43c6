"""The browser, driven by keys through Textual's pilot."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest
from fakes import WordDetector
from golden_traces import TRACES, scripted_trace

pytest.importorskip("textual", reason="the extra viewer is not installed")

from textual.pilot import Pilot
from textual.widgets import Static

from rerail.distill.labels import read_traces
from rerail.guard.store import Store
from rerail.guard.store_query import TraceFilter, TraceOrder
from rerail.serve.browse import Browser
from rerail.serve.label_book import LabelBook, Mark
from rerail.serve.story import Story
from rerail.serve.themes import DARK
from rerail.serve.trace_render import num_row_lines, row_lines

NAMES = ("intervened", "allowed", "hostile", "without_text", "audited")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    opened = Store(tmp_path / "rerail.db")
    for number, name in enumerate(NAMES):
        opened.add(replace(TRACES[name](), id=f"{number:012x}deadbeef"))
    return opened


def drive(
    store: Store,
    labels: Path,
    keys: Callable[[Browser, Pilot[None]], Awaitable[None]],
    size: tuple[int, int] = (120, 40),
) -> None:
    """Opens the browser without a terminal and runs `keys` on it."""
    summaries = store.summaries(TraceFilter(order=TraceOrder.OLDEST))

    async def run() -> None:
        app = Browser(store, sorted(summaries, key=lambda each: each.id), LabelBook(labels))
        async with app.run_test(size=size) as pilot:
            await pilot.pause()
            await keys(app, pilot)

    with store:
        asyncio.run(run())


def status(app: Browser) -> str:
    return str(app.query_one("#status", Static).render())


def screen(app: Browser) -> str:
    steps = app.steps
    height = steps.scrollable_content_region.height
    return "\n".join(steps.render_line(y).text.rstrip() for y in range(height))


def selected(app: Browser) -> str:
    return app.steps.rows[app.steps.selected].text.strip()


@pytest.mark.parametrize("size", [(80, 24), (200, 50)])
def test_it_opens_on_the_first_cue(store: Store, tmp_path: Path, size: tuple[int, int]) -> None:
    async def keys(app: Browser, pilot: Pilot[None]) -> None:
        assert "EVIL" in selected(app)
        assert "CUE rolled back 9 tokens" in screen(app)
        assert "step 2, score 0.95" in status(app)
        assert "2 steps fired" in status(app)

    drive(store, tmp_path / "l.jsonl", keys, size)


def test_keys_move_between_steps_cues_and_traces(store: Store, tmp_path: Path) -> None:
    async def keys(app: Browser, pilot: Pilot[None]) -> None:
        await pilot.press("up")
        assert selected(app) == "The user asks for PLACEHOLDER."
        await pilot.press("j", "j", "j")
        assert selected(app) == "So I stop here."
        await pilot.press("g")
        assert "second bad" in selected(app)
        await pilot.press("g")
        assert "EVIL" in selected(app)
        await pilot.press("G")
        assert "second bad" in selected(app)
        await pilot.press("right")
        assert "trace 2 of 5" in status(app) and selected(app) == "It is a sum."
        await pilot.press("g")
        assert "no cue" in status(app)
        await pilot.press("left", "left")
        assert "trace 1 of 5" in status(app)

    drive(store, tmp_path / "l.jsonl", keys)


def test_branches_fold_one_by_one_and_all(store: Store, tmp_path: Path) -> None:
    async def keys(app: Browser, pilot: Pilot[None]) -> None:
        assert "Then the EVIL plan" in screen(app)
        await pilot.press("space")
        assert "Then the EVIL plan" not in screen(app) and "second bad" in screen(app)
        await pilot.press("f")
        assert "second bad" not in screen(app)
        await pilot.press("f")
        assert "Then the EVIL plan" in screen(app) and "second bad" in screen(app)
        await pilot.press("up", "space")
        assert "only a rolled-back branch" in status(app)

    drive(store, tmp_path / "l.jsonl", keys)


def test_another_threshold_says_at_once_what_would_fire(store: Store, tmp_path: Path) -> None:
    async def keys(app: Browser, pilot: Pilot[None]) -> None:
        assert [line[:9] for line in screen(app).splitlines() if "CUE" in line] == [
            ">      ! ",
            "       ! ",
        ]
        await pilot.press("plus", "plus", "plus")
        assert "threshold 0.65: 1 step would fire" in status(app)
        assert [line[:9] for line in screen(app).splitlines() if "CUE" in line][1].strip() == ""
        await pilot.press("0")
        assert "2 steps fired" in status(app)
        await pilot.press(*["minus"] * 9)
        assert "threshold 0.05: 8 steps would fire" in status(app)

    drive(store, tmp_path / "l.jsonl", keys)


def test_search_goes_on_into_other_traces(store: Store, tmp_path: Path) -> None:
    async def keys(app: Browser, pilot: Pilot[None]) -> None:
        await pilot.press("slash", *"SETTLES", "enter")
        assert selected(app) == "That settles it." and "trace 1 of 5" in status(app)
        await pilot.press("slash", *"two", "space", *"and", "enter")
        assert selected(app) == "Two and two." and "trace 2 of 5" in status(app)
        await pilot.press("slash", *"nowhere", "enter")
        assert "no trace holds" in status(app)
        await pilot.press("slash", "x", "escape", "down")
        assert "trace 2 of 5" in status(app)

    drive(store, tmp_path / "l.jsonl", keys)


def test_marks_are_in_the_file_at_once_and_there_again_later(store: Store, tmp_path: Path) -> None:
    labels = tmp_path / "labels.jsonl"

    async def mark(app: Browser, pilot: Pilot[None]) -> None:
        await pilot.press("c")
        assert "marked in" in status(app)
        (removed,) = read_traces([labels])
        assert removed.steps[-1] == "Then the EVIL" and removed.harmful
        assert [label.value for label in removed.labels or ()] == ["N", "C"]
        await pilot.press("down", "down", "s")
        assert "cue" in screen(app) and "safe" in screen(app)

    async def again(app: Browser, pilot: Pilot[None]) -> None:
        assert app.steps.labels == {1: Mark.CUE, 3: Mark.SAFE}
        assert "marked cue; request harmful" in status(app)
        await pilot.press("u", "down", "down", "u")
        assert labels.read_text() == ""

    drive(store, labels, mark)
    with Store(tmp_path / "rerail.db") as opened:
        drive(opened, labels, again)


def test_harmful_is_settable_and_the_answer_cannot_be_marked(store: Store, tmp_path: Path) -> None:
    labels = tmp_path / "labels.jsonl"

    async def keys(app: Browser, pilot: Pilot[None]) -> None:
        await pilot.press("right", "n", "h")
        assert json.loads(labels.read_text())["harmful"] is True
        await pilot.press("h")
        assert json.loads(labels.read_text())["harmful"] is False
        await pilot.press("end", *["down"] * 9, "s")
        assert "only steps of the chain of thought" in status(app)

    drive(store, labels, keys)


def test_hostile_text_and_traces_without_text_do_no_harm(store: Store, tmp_path: Path) -> None:
    async def keys(app: Browser, pilot: Pilot[None]) -> None:
        await pilot.press("right", "right")
        text = screen(app) + status(app)
        assert "A\\x1b[2J" in text and "[bold red]x[/]" in text
        assert all(character.isprintable() or character == "\n" for character in text)
        await pilot.press("right")
        assert "text not stored" in screen(app)
        await pilot.press("c")
        assert "stored without its texts" in status(app)

    drive(store, tmp_path / "l.jsonl", keys)


def test_a_trace_purged_meanwhile_is_said_to_be_gone(store: Store, tmp_path: Path) -> None:
    async def keys(app: Browser, pilot: Pilot[None]) -> None:
        store.purge(ids=[f"{1:012x}deadbeef"])
        await pilot.press("right")
        assert "has no trace" in status(app)

    drive(store, tmp_path / "l.jsonl", keys)


def test_of_a_long_trace_only_what_is_seen_is_drawn(tmp_path: Path) -> None:
    """Styling all of 20,000 tokens to show forty lines of them once made opening it slow."""
    big = scripted_trace(["The word goes on and on here. " * 2500], WordDetector(), group=64)
    assert len(big.tokens) >= 20_000
    store = Store(tmp_path / "rerail.db")
    store.add(big)
    store.add(replace(TRACES["allowed"](), id="000000000000deadbeef"))

    async def keys(app: Browser, pilot: Pilot[None]) -> None:
        await pilot.press("right")
        steps = app.steps
        height = steps.scrollable_content_region.height
        assert len(steps.rows) == 2500 and steps.virtual_size.height > 2500
        assert 0 in steps.drawn and steps.drawn <= set(range(height))
        steps.scroll_end(animate=False)
        await pilot.pause()
        assert steps.scroll_offset.y > 2000 and 2499 in steps.drawn
        assert len(steps.drawn) <= 3 * height
        assert screen(app).count("The word goes on") > height // 2

    drive(store, tmp_path / "l.jsonl", keys)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("width", [24, 60, 120])
def test_lines_are_counted_as_they_are_made(name: str, width: int) -> None:
    """One line more or less, and the browser would show a row's text beside another row."""
    for trace in (
        TRACES[name](),
        scripted_trace(["Wide 漢字 and\r\nsplit\tup. " * 9], WordDetector()),
    ):
        story = Story.of(trace)
        for row in story.rows:
            made = row_lines(story, row, width, DARK)
            assert num_row_lines(story, row, width, DARK) == len(made)


def test_without_textual_the_error_names_the_extra() -> None:
    code = (
        "import sys; sys.modules['textual'] = None\n"
        "try:\n    import rerail.serve.browse\n"
        'except ImportError as error:\n    sys.exit(str(error) != "browsing needs Textual: '
        "pip install 'rerail[viewer]'\")\nsys.exit(2)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
