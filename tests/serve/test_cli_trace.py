"""The `trace` commands, over a store of golden traces."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from golden_traces import TRACES

from rerail.guard.store import Store
from rerail.serve.cli import main
from rerail.serve.lines import text_of, width_of
from rerail.serve.themes import DARK, MONO, SPOKEN
from rerail.serve.trace_stats import TraceStats, histogram, stats_lines
from rerail.serve.trace_table import trace_table

Command = Callable[..., str]
BEGIN = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def store_path(tmp_path: Path) -> Path:
    path = tmp_path / "rerail.db"
    with Store(path) as store:
        for number, (name, make) in enumerate(TRACES.items()):
            begun = BEGIN + timedelta(days=number)
            trace = replace(make(), id=f"{number:012x}deadbeef", created_at=begun)
            store.add(trace, redacted=name == "without_text")
    return path


@pytest.fixture
def rerail(store_path: Path, capsys: pytest.CaptureFixture[str]) -> Command:
    def run(*arguments: str, code: int = 0) -> str:
        assert main(["trace", *arguments, "--store", str(store_path)]) == code
        captured = capsys.readouterr()
        return captured.out if code == 0 else captured.err

    return run


def ids(listed: str) -> list[int]:
    return [int(json.loads(line)["id"][:12], 16) for line in listed.splitlines()]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ((), [11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0]),
        (("--action", "intervene"), [9, 7, 6, 0]),
        (("--channel", "tool_call", "--action", "intervene"), [7]),
        (("--text", "evil"), [0]),
        (("--contains", "nothing of the kind"), []),
        (("--min-score", "0.9", "--order", "oldest"), [0, 9]),
        (("--finish", "content_filter"), [5, 3]),
        (("--since", "2026-01-10T00:00:00+00:00"), [11, 10, 9]),
        (("--until", "2026-01-02T00:00:00+00:00"), [0]),
        (("--trigger", "answer-1"), [7]),
        (("--detector", "none"), [2]),
        (("--model", "another"), []),
        (("--topic", "test", "--limit", "3"), [11, 10, 9]),
        (("--limit", "3", "--page", "2"), [8, 7, 6]),
        (("--order", "interventions", "--limit", "3"), [9, 3, 0]),
    ],
    ids=str,
)
def test_list_filters_sorts_and_pages(
    rerail: Command, options: tuple[str, ...], expected: list[int]
) -> None:
    assert ids(rerail("list", "--json", *options)) == expected


def test_list_is_a_table_that_says_how_many_there_are(rerail: Command) -> None:
    lines = rerail("list", "--limit", "4").splitlines()
    assert len(lines) == 6 and lines[0].split()[:3] == ["id", "begun", "action"]
    assert lines[-1] == "1 to 4 of 12; --page 2 shows the next"
    assert "(text not stored)" in lines[3]
    assert rerail("list", "--limit", "4", "--page", "3").splitlines()[-1] == "9 to 12 of 12"
    assert rerail("list", "--page", "9").strip() == "no traces on this page: there are 12"
    assert rerail("list", "--model", "x").strip() == "no traces"
    assert "--page is 0" in rerail("list", "--page", "0", code=2)


def test_tables_fit_every_width_and_are_harmless(store_path: Path) -> None:
    with Store(store_path) as store:
        summaries = [replace(each, model="m\x1b[2J" * 9) for each in store.summaries()]
    for width in (40, 80, 100, 140, 200):
        table = trace_table(summaries, len(summaries), width, DARK)
        assert max(map(width_of, table.lines)) <= width
        text = text_of(table.lines)
        assert all(character.isprintable() or character == "\n" for character in text)
    assert "intervene" in text_of(trace_table(summaries, 12, 80, MONO).lines)


def test_show_draws_the_trace_in_words_in_a_pipe(rerail: Command) -> None:
    text = rerail("show", f"{0:012x}")
    assert "CUE rolled back 9 tokens" in text and "INJECTED safety trigger" in text
    assert "\x1b" not in text
    assert "│" in rerail("show", f"{0:012x}", "--theme", "mono", "--width", "120")
    assert "質問" in rerail("show")  # the newest
    assert json.loads(rerail("show", f"{0:012x}", "--json"))["action"] == "intervene"
    assert "has no trace 'ffff'" in rerail("show", "ffff", code=1)


def test_colours_heed_no_color_and_the_terminal(
    rerail: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLORTERM", "truecolor")
    monkeypatch.delenv("NO_COLOR", raising=False)
    dark = rerail("show", f"{0:012x}")
    monkeypatch.setenv("COLORFGBG", "0;15")
    light = rerail("show", f"{0:012x}")
    assert "38;2;" in dark and "38;2;" in light and dark != light
    monkeypatch.setenv("NO_COLOR", "1")
    plain = rerail("show", f"{0:012x}")
    assert "38;2;" not in plain and "\x1b[9m" in plain  # struck through, but not coloured


def test_diff_and_export(rerail: Command, tmp_path: Path) -> None:
    text = rerail("diff", f"{1:012x}", f"{2:012x}", "--width", "120", "--theme", "mono")
    assert "0 " not in text.split("steps:")[1].splitlines()[0] and "6 same" in text
    assert rerail("export", f"{0:012x}").startswith("<!doctype html>")
    assert rerail("export", f"{0:012x}", "--format", "md").startswith("# INTERVENED")
    out = tmp_path / "picture.svg"
    rerail("export", f"{0:012x}", "--out", str(out))
    assert out.read_text().startswith("<svg")
    assert "ends in no format" in rerail("export", "--out", str(tmp_path / "x.pdf"), code=2)
    assert "no such folder" in rerail("export", "--out", str(tmp_path / "no" / "x.md"), code=1)


def test_stats_count_by_trigger_topic_and_channel(rerail: Command) -> None:
    figures = json.loads(rerail("stats", "--json"))
    assert figures["num_traces"] == 12
    assert figures["actions"] == {"allow": 5, "intervene": 4, "block": 2, "audit": 1}
    assert sum(figures["score_bins"]) == 11 and figures["unscored"] == 1
    triggers = figures["by_trigger"]
    assert sum(each["used"] for each in triggers.values()) == 7
    assert triggers["answer-1"] == {"used": 1, "worked": 1, "failed": 0, "rate": 1.0}
    assert figures["all_triggers"]["failed"] == 3 and figures["refusals"] == 2
    assert figures["by_channel"]["tool_call"]["used"] == 1
    assert figures["by_topic"]["test"]["used"] == 7
    only = json.loads(rerail("stats", "--json", "--action", "allow"))
    assert only["num_traces"] == 5 and only["by_trigger"] == {}
    words = rerail("stats")
    assert "Interventions by trigger:" in words and "1 trace without a score" in words
    assert rerail("stats", "--model", "x").strip() == "no traces"


def test_histograms_have_numbers_beside_their_bars() -> None:
    bins = [0, 40, 0, 4, 0]
    drawn = text_of(histogram(bins, 80, MONO)).splitlines()
    assert [line.split()[:4] for line in drawn] == [
        ["0.20", "to", "0.40", "40"],
        ["0.40", "to", "0.60", "0"],
        ["0.60", "to", "0.80", "4"],
    ]
    assert [line.count("█") for line in drawn] == [58, 0, 6]  # rounded up: what is there is seen
    assert "█" not in text_of(histogram(bins, 80, SPOKEN))
    assert text_of(histogram([0] * 5, 80, MONO)).strip() == "none was scored"


def test_stats_fit_every_width() -> None:
    stats = TraceStats(num_traces=3, score_bins=[1000] * 20)
    stats.actions["intervene"] = 3
    for width in (40, 80, 200):
        assert max(map(width_of, stats_lines(stats, width, DARK).lines)) <= width
