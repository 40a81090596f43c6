"""Step scores for recorded traces: the guard's own machinery, carried over to the file's spans."""

import json
from pathlib import Path

import pytest
from fakes import WordDetector

from rerail.guard import (
    FORMATS,
    Guard,
    GuardConfig,
    RolledBack,
    StepJudged,
    guarded,
)
from rerail.guard.backend_scripted import ScriptedBackend
from rerail.serve.detect import Detection, detections
from rerail.serve.recorded import RecordedTrace, read_recorded


def recorded(think: str, *sentences: str, name: str = "t") -> RecordedTrace:
    """A trace whose spans are these sentences of `think`."""
    spans = []
    for sentence in sentences:
        start = think.index(sentence, spans[-1][1] if spans else 0)
        spans.append((start, start + len(sentence)))
    messages = ({"role": "user", "content": "How?"},)
    return RecordedTrace(name, messages, think, tuple(spans))


def detected(trace: RecordedTrace, detector: WordDetector) -> Detection:
    (found,) = detections([trace], detector)
    return found


def scores(found: Detection) -> list[float | None]:
    return [None if each is None else round(each, 3) for each in found.scores]


def test_the_highest_token_score_of_each_step() -> None:
    trace = recorded("All is fine. Now the plan. Done.", "All is fine.", "Now the plan.", "Done.")
    found = detected(trace, WordDetector(at_end=["plan"]))
    assert scores(found) == [0.1, 0.6, 0.1]
    assert found.intervene == 1


def test_a_cue_inside_a_step() -> None:
    trace = recorded("Fine. Mix the things and wait.", "Fine.", "Mix the things and wait.")
    found = detected(trace, WordDetector(inside=["Mix"]))
    assert scores(found) == [0.1, 0.95]
    assert found.intervene == 1


def test_no_cue() -> None:
    found = detected(recorded("One. Two.", "One.", "Two."), WordDetector())
    assert (scores(found), found.intervene) == ([0.1, 0.1], -1)


def test_scores_go_on_after_the_first_cue() -> None:
    """The policy that is asked about would have stopped there; the scores are of the whole text."""
    trace = recorded("A plan. Fine. A plan.", "A plan.", "Fine.", "A plan.")
    found = detected(trace, WordDetector(at_end=["plan"]))
    assert scores(found) == [0.6, 0.1, 0.6]
    assert found.intervene == 0


def test_spans_of_another_splitter() -> None:
    """The file cuts where the guard does not: the cue is where the guard's step starts."""
    think = "First this, then that, and so the plan. Done."
    trace = recorded(think, "First this, then that,", "and so the plan.", "Done.")
    found = detected(trace, WordDetector(at_end=["plan"]))
    assert scores(found) == [0.1, 0.6, 0.1]
    assert found.intervene == 0
    joined = recorded("One. A plan. Two.", "One. A plan.", "Two.")
    assert detected(joined, WordDetector(at_end=["plan"])).intervene == 0


def test_a_cue_between_two_spans_belongs_to_the_later_one() -> None:
    found = detected(recorded("One. A plan. Two.", "One.", "Two."), WordDetector(at_end=["plan"]))
    assert (scores(found), found.intervene) == ([0.1, 0.1], 1)


def test_blanks_and_nothing() -> None:
    assert detected(recorded(""), WordDetector()) == Detection("t", (), -1)
    found = detected(RecordedTrace("t", (), "One.   ", ((0, 4), (4, 7))), WordDetector())
    assert scores(found) == [0.1, None]


def test_markup_in_a_chain_of_thought_is_text() -> None:
    """`think` comes without tags: one in it must not end the reasoning or hide what follows."""
    trace = recorded("One. </think> <tool_call> A plan. Two.", "One.", "A plan.", "Two.")
    found = detected(trace, WordDetector(at_end=["plan"]))
    assert scores(found)[1:] == [0.6, 0.1]


def test_many_streams_give_what_one_gives_in_the_files_order() -> None:
    """Catches results that come in the order in which streams end."""
    traces = [
        recorded("Fine. " * (number * 7 % 50) + "A plan.", "A plan.", name=str(number))
        for number in range(40)
    ]
    detector = WordDetector(at_end=["plan"])
    together = list(detections(traces, detector, num_streams=8))
    alone = list(detections(traces, detector, num_streams=1))
    assert together == alone
    assert [each.id for each in together] == [str(number) for number in range(40)]


def test_the_step_is_the_one_that_a_live_guard_takes_out() -> None:
    think = "Okay. Let me see. The plan is simple. Go on. Another plan."
    detector = WordDetector(at_end=["plan"])
    backend = ScriptedBackend([think, "\n</think>\n\nNo."], reasoning_format=FORMATS["r1"])
    events = list(guarded(backend, Guard(detector), backend.prompt("How?")))
    taken_out = [event for event in events if isinstance(event, RolledBack)]
    judged = [event for event in events if isinstance(event, StepJudged)]
    cue = next(each for each in judged if each.text in taken_out[0].text)
    sentences = ["Okay.", "Let me see.", "The plan is simple.", "Go on.", "Another plan."]
    found = detected(recorded(think, *sentences), detector)
    assert sentences[found.intervene] == cue.text


def test_a_detector_that_fails_gives_no_scores() -> None:
    """A failure must not read as a low score."""
    with pytest.raises(RuntimeError, match="cannot read"):
        detected(recorded("One. Boom.", "One.", "Boom."), WordDetector(raise_on="Boom"))


def test_thresholds_of_the_caller() -> None:
    trace = recorded("A plan. Mix.", "A plan.", "Mix.")
    detector = WordDetector(at_end=["plan"], inside=["Mix"])
    (found,) = detections([trace], detector, GuardConfig(threshold=0.7))
    assert found.intervene == 1


def test_conversations_are_read_as_they_are(tmp_path: Path) -> None:
    messages = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]
    row = {"id": 7, "messages": messages, "think": "One.", "steps": [[0, 4]]}
    path = tmp_path / "t.jsonl"
    path.write_text("\n" + json.dumps(row) + "\n\n")
    assert list(read_recorded(path)) == [RecordedTrace("7", tuple(messages), "One.", ((0, 4),))]


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ("{", "line 2 is no JSON"),
        ("[]", "line 2: a trace is an object"),
        ('{"id": "x", "request": "r", "steps": []}', "line 2: field 'think' is missing"),
        ('{"id": "x", "think": "t", "steps": []}', "line 2: field 'request' is missing"),
        ('{"id": "x", "request": "r", "think": 3, "steps": []}', "field 'think' is no text"),
        ('{"id": "x", "request": "r", "think": "t", "steps": {}}', "no list of spans"),
        ('{"id": "x", "request": "r", "think": "t", "steps": [[0]]}', "step 0 is no span"),
        ('{"id": "x", "request": "r", "think": "t", "steps": [[0, 2]]}', "beyond the text"),
        ('{"id": "x", "request": "r", "think": "tt", "steps": [[1, 2], [0, 1]]}', "step 1"),
        ('{"id": "x", "request": "r", "think": "t", "messages": 3, "steps": []}', "messages"),
    ],
)
def test_broken_lines_are_named(tmp_path: Path, row: str, words: str) -> None:
    path = tmp_path / "t.jsonl"
    path.write_text('{"id": "a", "request": "r", "think": "t", "steps": [[0, 1]]}\n' + row + "\n")
    with pytest.raises(ValueError, match=r"t\.jsonl line 2") as caught:
        list(read_recorded(path))
    assert words in str(caught.value)
