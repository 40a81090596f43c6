"""`run --live` and `--watchable`, and the README's picture."""

import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
from fakes import WordDetector
from golden_traces import TRACES

import rerail.serve.picture as picture_module
from rerail.guard import Finished, Guard, guarded
from rerail.guard.backend_scripted import ScriptedBackend
from rerail.serve.cli import main
from rerail.serve.live_reader import LiveReader
from rerail.serve.onlookers import onlookers
from rerail.serve.picture import picture

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--live",), "--live needs a terminal"),
        (("--watchable", "--no-store"), "drop --no-store"),
        (("--watchable", "--redact"), "drop --no-store, --redact"),
    ],
    ids=str,
)
def test_what_cannot_be_shown_is_refused(
    options: tuple[str, ...], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A store without texts must not get them through the side door."""
    assert main(["run", "Hello", *options]) == 2
    assert words in capsys.readouterr().err


def test_nobody_looks_on_unless_asked(tmp_path: Path) -> None:
    guard = Guard(WordDetector())
    with onlookers(guard, None, live=False):
        assert guard.watch is None
    assert not list(tmp_path.iterdir())


def test_a_watchable_generation_can_be_watched(tmp_path: Path) -> None:
    store = tmp_path / "rerail.db"
    reader = LiveReader(store)
    guard = Guard(WordDetector())
    with onlookers(guard, str(store), live=False):
        backend = ScriptedBackend(["Fine. So it is."])
        *_, last = guarded(backend, guard, backend.prompt("Go."))
    assert isinstance(last, Finished)
    # However soon it was over, its end can be seen.
    finished = [frame for frame in reader.look().frames if frame.finished is not None]
    assert [frame.stream for frame in finished] == [last.trace.id]
    reader.close()


def test_the_picture_holds_nothing_that_changes_from_run_to_run() -> None:
    trace = TRACES["intervened"]()
    text = "".join(ElementTree.fromstring(picture(trace)).itertext()).replace("\xa0", " ")
    assert trace.id not in picture(trace) and "2026" not in text
    assert "INJECTED" in text and "CUE" in text and "final answer" in text


def test_the_picture_in_the_readme_is_there_and_whole() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert "(serve/assets/intervention.svg)" in readme
    # From the package, so that it is found in the wheel as well as in the checkout.
    drawn = Path(picture_module.__file__).parent / "assets" / "intervention.svg"
    text = "".join(ElementTree.parse(drawn).getroot().itertext()).replace("\xa0", " ")
    for words in ("CUE", "INJECTED", "no further cue followed", "final answer"):
        assert words in text
