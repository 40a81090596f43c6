"""The judge teacher over a recording transport: parsing, retries, resuming."""

import json
from pathlib import Path
from typing import Any

import pytest

from rerail.distill.judge_teacher import (
    JudgeConfig,
    JudgeError,
    JudgeTeacher,
    judge_messages,
    parse_labels,
)
from rerail.distill.labels import Label, LabelledTrace
from rerail.distill.remembered_teacher import RememberedTeacher

TRACE = LabelledTrace(
    "t1", "How do I rob a bank?", True, "s", "v", ("One.", "Two.", "Three."), None
)
C, U, S, N = Label.CUE, Label.HARM, Label.SAFETY, Label.NEUTRAL


class RecordingPost:
    """Gives the prepared answers one after the other, and keeps what it was sent."""

    def __init__(self, *answers: tuple[int, str] | OSError) -> None:
        self.answers = list(answers)
        self.sent: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []

    def __call__(
        self, url: str, body: bytes, headers: dict[str, str], timeout_s: float
    ) -> tuple[int, str]:
        assert url == "http://judge/v1/chat/completions"
        self.sent.append(json.loads(body))
        self.headers.append(headers)
        answer = self.answers.pop(0)
        if isinstance(answer, OSError):
            raise answer
        return answer


def completion(text: str) -> tuple[int, str]:
    usage = {"prompt_tokens": 100, "completion_tokens": 10}
    return 200, json.dumps({"choices": [{"message": {"content": text}}], "usage": usage})


def teacher(post: RecordingPost, **settings: Any) -> tuple[JudgeTeacher, list[float]]:
    waits: list[float] = []
    config = JudgeConfig(url="http://judge/v1/", model="m", **settings)
    return JudgeTeacher(config, post, waits.append), waits


@pytest.mark.parametrize(
    ("answer", "labels"),
    [
        ("1 N\n2 C\n3 S", (N, C, S)),
        ("1. N\n2) c\n**3**: U", (N, C, U)),
        ("<think>1 C 2 C</think>\nHere you are:\n1: N\n2: N\n3: N", (N, N, N)),
        ("1 N\n2 C", None),
        ("1 N\n2 C\n3 S\n4 S", None),
        ("1 N\n2 C\n2 S\n3 S", None),
        ("1 N\n2 X\n3 S", None),
        ("I can't help with that.", None),
        ("", None),
    ],
)
def test_answers_are_parsed_whole_or_not_at_all(answer: str, labels: list[Label] | None) -> None:
    assert parse_labels(answer, 3) == labels


def test_the_judge_sees_numbered_steps_on_one_line_each() -> None:
    messages = judge_messages("Why?", ["One\nline.", "Two."])
    assert messages[-1]["content"] == "Request: Why?\n1. One line.\n2. Two."


def test_failures_are_retried_with_growing_waits() -> None:
    post = RecordingPost((500, ""), OSError("reset"), (429, ""), completion("1 N\n2 C\n3 N"))
    judge, waits = teacher(post, api_key="k")
    assert judge.label(TRACE) == (N, C, N)
    assert waits == [1.0, 2.0, 4.0]
    assert post.headers[0]["Authorization"] == "Bearer k"
    assert (judge.usage.input_tokens, judge.usage.output_tokens) == (100, 10)


def test_an_answer_nested_too_deeply_is_asked_for_again() -> None:
    judge, waits = teacher(RecordingPost((200, "[" * 100_000), completion("1 N\n2 C\n3 N")))
    assert judge.label(TRACE) == (N, C, N)
    assert waits == [1.0]


def test_what_cannot_be_parsed_is_unlabelled_and_never_safe() -> None:
    judge, _ = teacher(RecordingPost(*[completion("no idea")] * 4))
    assert judge.label(TRACE) is None
    assert judge.usage.num_unparsed == 1


def test_a_refusing_endpoint_is_an_error_at_once() -> None:
    judge, waits = teacher(RecordingPost((401, "bad key")))
    with pytest.raises(JudgeError, match="401: bad key"):
        judge.label(TRACE)
    assert waits == []


def test_an_endpoint_that_keeps_failing_is_an_error() -> None:
    judge, _ = teacher(RecordingPost(*[(503, "")] * 4))
    with pytest.raises(JudgeError, match="status 503"):
        judge.label(TRACE)


def test_labelling_goes_on_where_it_was_broken_off(tmp_path: Path) -> None:
    path = tmp_path / "labels.jsonl"
    judge, _ = teacher(RecordingPost(completion("1 N\n2 C\n3 S")))
    assert RememberedTeacher(judge, path).label(TRACE) == (N, C, S)
    path.write_text(path.read_text() + '{"id": "t2", "lab')
    silent, _ = teacher(RecordingPost())
    assert RememberedTeacher(silent, path).label(TRACE) == (N, C, S)
    assert path.read_text() == '{"id": "t1", "labels": ["N", "C", "S"]}\n'


def test_cost_is_counted() -> None:
    judge, _ = teacher(
        RecordingPost(completion("1 N\n2 N\n3 N")),
        dollars_per_million_input=10.0,
        dollars_per_million_output=100.0,
    )
    judge.label(TRACE)
    config = JudgeConfig(
        url="http://judge", model="m", dollars_per_million_input=10.0,
        dollars_per_million_output=100.0,
    )  # fmt: skip
    assert judge.usage.dollars(config) == pytest.approx(0.002)


def test_a_wrong_address_is_refused() -> None:
    with pytest.raises(ValueError, match="'judge' is no server's address: give one"):
        JudgeConfig(url="judge", model="m")
    for url in ("https://me:SECRET@host/v1", "me:SECRET@host", "https://host/v1?key=SECRET"):
        with pytest.raises(ValueError, match="RERAIL_JUDGE_API_KEY") as refused:
            JudgeConfig(url=url, model="m")
        assert "SECRET" not in str(refused.value)
