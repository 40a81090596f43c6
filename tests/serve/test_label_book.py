"""Labels given by hand: a file that the distiller reads, gone on with, never half written."""

import json
import os
from pathlib import Path

import pytest
from golden_traces import TRACES

from rerail.distill.labels import Label, read_traces
from rerail.guard import Channel
from rerail.serve.label_book import LabelBook, Mark, branches
from rerail.serve.story import Kind, Story


def index_of(story: Story, text: str) -> int:
    (found,) = [i for i, row in enumerate(story.rows) if text in row.text]
    return found


def test_the_distiller_reads_what_was_marked(tmp_path: Path) -> None:
    story = Story.of(TRACES["intervened"]())
    book = LabelBook(tmp_path / "labels.jsonl")
    cue, safe = index_of(story, "EVIL"), index_of(story, "I will not go on")
    book.write(story, {cue: Mark.CUE, safe: Mark.SAFE}, harmful=True)
    kept, removed = read_traces([book.path])
    assert removed.id == f"{story.trace.id}-0"
    assert removed.steps == ("The user asks for PLACEHOLDER.", "Then the EVIL")
    assert removed.labels == (Label.NEUTRAL, Label.CUE)
    assert removed.first_cue == 1 and removed.harmful and removed.voice == "scripted"
    assert kept.request == "How would one do PLACEHOLDER?"
    # The steps that the guard put in are safety triggers by their nature.
    N, S = Label.NEUTRAL, Label.SAFETY
    assert kept.labels == (N, S, N, S, S)
    assert kept.steps[2] == "So I stop here." and len(kept.steps) > 5


def test_lines_have_the_fields_of_a_labelled_trace(tmp_path: Path) -> None:
    story = Story.of(TRACES["allowed"]())
    book = LabelBook(tmp_path / "labels.jsonl")
    book.write(story, {0: Mark.NEUTRAL}, harmful=False)
    (record,) = map(json.loads, book.path.read_text().splitlines())
    names = {"id", "request", "harmful", "model", "think", "answer", "steps", "labels", "marked"}
    assert set(record) == names
    assert record["think"][slice(*record["steps"][1])] == "Two and two."
    assert record["answer"] == "The answer is four."


def test_marks_come_back_and_implied_ones_do_not(tmp_path: Path) -> None:
    story = Story.of(TRACES["intervened"]())
    marks = {index_of(story, "EVIL"): Mark.CUE, index_of(story, "I will not"): Mark.SAFE}
    LabelBook(tmp_path / "l.jsonl").write(story, marks, harmful=True)
    again = LabelBook(tmp_path / "l.jsonl")
    assert again.marks(story) == marks and again.harmful(story) is True
    assert again.marks(Story.of(TRACES["unguarded"]())) == {}
    assert again.harmful(Story.of(TRACES["unguarded"]())) is None


def test_other_lines_stay_as_they_are_and_taking_marks_back_removes_the_line(
    tmp_path: Path,
) -> None:
    path = tmp_path / "labels.jsonl"
    other = '{"id": "x",  "request": "r", "harmful": true, "think": "A.", "steps": [[0, 2]]}'
    path.write_text(other + "\n")
    story = Story.of(TRACES["allowed"]())
    book = LabelBook(path)
    book.write(story, {0: Mark.SAFE}, harmful=False)
    book.write(story, {0: Mark.NEUTRAL, 1: Mark.CUE}, harmful=True)
    first, second = path.read_text().splitlines()
    assert first == other and json.loads(second)["labels"] == ["N", "C"]
    book.write(story, {}, harmful=True)
    assert path.read_text() == other + "\n"


def test_two_browsers_on_one_file_lose_nothing(tmp_path: Path) -> None:
    path = tmp_path / "labels.jsonl"
    one, two = LabelBook(path), LabelBook(path)
    allowed, unguarded = Story.of(TRACES["allowed"]()), Story.of(TRACES["unguarded"]())
    one.write(allowed, {0: Mark.SAFE}, harmful=False)
    two.write(unguarded, {0: Mark.NEUTRAL}, harmful=False)
    assert one.marks(allowed) == {0: Mark.SAFE} and one.marks(unguarded) == {0: Mark.NEUTRAL}


def test_a_failed_write_leaves_the_old_file_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    story = Story.of(TRACES["allowed"]())
    book = LabelBook(tmp_path / "labels.jsonl")
    book.write(story, {0: Mark.SAFE}, harmful=False)
    before = book.path.read_bytes()

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        book.write(story, {0: Mark.CUE}, harmful=True)
    assert book.path.read_bytes() == before
    assert [each.name for each in tmp_path.iterdir()] == ["labels.jsonl"]


def test_only_steps_of_the_chain_of_thought_can_be_marked(tmp_path: Path) -> None:
    story = Story.of(TRACES["intervened"]())
    book = LabelBook(tmp_path / "labels.jsonl")
    answer = [i for i, row in enumerate(story.rows) if row.channel is Channel.ANSWER]
    with pytest.raises(ValueError, match="only steps of the chain of thought"):
        book.write(story, {answer[0]: Mark.SAFE}, harmful=False)
    with pytest.raises(ValueError, match="stored without its texts"):
        book.write(Story.of(TRACES["without_text"]()), {0: Mark.CUE}, harmful=True)
    assert not book.path.exists()


def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("hello\n")
    with pytest.raises(ValueError, match=r"notes\.txt line 1 is no labelled trace"):
        LabelBook(tmp_path / "notes.txt")


@pytest.mark.parametrize("name", TRACES)
def test_spans_cut_the_steps_out_of_every_trace(name: str) -> None:
    story = Story.of(TRACES[name]())
    for branch in branches(story):
        assert len(branch.spans) == len(branch.rows)
        for (start, end), row in zip(branch.spans, branch.rows, strict=True):
            text = branch.think[start:end]
            assert text == text.strip()
            if story.rows[row].kind is not Kind.REMOVED:
                assert text == story.rows[row].text.strip()
