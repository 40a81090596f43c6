"""The demo, and the way of its pairs through the other commands."""

import json
from pathlib import Path

import pytest
from command_line import CommandLine, Done

from rerail.guard.pair_files import read_pairs
from rerail.guard.store import Store


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> tuple[CommandLine, Done]:
    """The demo, once for all tests."""
    rerail = CommandLine(tmp_path_factory.mktemp("demo"))
    return rerail, rerail("demo")


@pytest.fixture
def rerail(played: tuple[CommandLine, Done]) -> CommandLine:
    return played[0]


def test_the_demo_shows_both_sides_and_says_what_next(played: tuple[CommandLine, Done]) -> None:
    done = played[1]
    assert (done.code, done.err) == (0, "")
    assert "\x1b" not in done.out
    for words in ("without the guard", "with rerail", "[cue ", "[trigger] ", "summary"):
        assert words in done.out
    for words in ("rerail trace list --action intervene", "GuardedModel.from_pretrained"):
        assert words in done.out


def test_every_intervention_leaves_a_pair(played: tuple[CommandLine, Done]) -> None:
    rerail, done = played
    with Store(rerail.store, read_only=True) as store:
        traces, pairs = list(store.traces()), list(store.pairs())
    triggers = [each for trace in traces for each in trace.interventions if each.trigger_id]
    assert len(traces) == 6
    assert len(pairs) == len(triggers) > 0
    assert done.out.count("[trigger] ") == len(triggers)


def test_pairs_are_exported_completed_and_purged(rerail: CommandLine) -> None:
    out = rerail.home / "pairs.jsonl"
    assert rerail("pairs", "export", "--out", out).code == 0
    cut_off = list(read_pairs(out))
    assert cut_off and not any(pair.complete for pair in cut_off)
    assert "1 pair completed" in rerail("pairs", "complete", "--limit", "1").err
    done = rerail("pairs", "complete", "--batch-size", "4")
    assert (done.code, done.out) == (0, "")
    whole_file = rerail.home / "whole.jsonl"
    assert rerail("pairs", "export", "--out", whole_file, "--complete").code == 0
    whole = {pair.id: pair for pair in read_pairs(whole_file)}
    assert whole.keys() == {pair.id for pair in cut_off}
    for before in cut_off:
        after = whole[before.id]
        assert after.rejected.startswith(before.rejected)
        assert after.rejected_ids[: len(before.rejected_ids)] == before.rejected_ids
        assert len(after.rejected_ids) > len(before.rejected_ids)
        assert (after.prompt, after.chosen_ids) == (before.prompt, before.chosen_ids)
    again = rerail("pairs", "complete")
    assert (again.code, "no pairs are left" in again.err) == (0, True)
    of_one = rerail.home / "one.jsonl"
    trace_id = cut_off[0].trace_id
    assert rerail("pairs", "export", "--out", of_one, "--trace", trace_id).code == 0
    assert {pair.trace_id for pair in read_pairs(of_one)} == {trace_id}
    purged = rerail("pairs", "purge", "--everything")
    assert (purged.code, "6 traces" in purged.err) == (0, True)
    assert rerail("trace", "list", "--json").out == ""


def test_a_store_elsewhere_or_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The closing lines must name the store that was used, so that they can be copied."""
    monkeypatch.setattr("rerail.serve.demo.PROGRAMME", ("task",))
    rerail = CommandLine(tmp_path)
    done = rerail("demo", "--store", "elsewhere.db")
    assert "trace list --action intervene --store elsewhere.db" in done.out
    listed = rerail("trace", "list", "--json", "--store", "elsewhere.db").out.splitlines()
    assert len({json.loads(line)["id"] for line in listed}) == 1
    assert not rerail.store.exists()
