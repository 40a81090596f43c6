"""The sentence teacher over a small embedder of our own: words hashed to directions."""

import zlib
from typing import Any

import numpy as np
import pytest

from rerail.distill.labels import Label, LabelledTrace
from rerail.distill.sentence_teacher import SentenceTeacher

C, S, N = Label.CUE, Label.SAFETY, Label.NEUTRAL
PLACES = ("bank", "farm", "school", "station", "bakery", "museum")


class WordEmbedder:
    """The normalised sum of its words' random directions."""

    def encode(self, sentences: list[str], **options: Any) -> np.ndarray:
        rows = [sum(self._word(word) for word in text.lower().split()) for text in sentences]
        table = np.array(rows, dtype=np.float32)
        return table / np.linalg.norm(table, axis=1, keepdims=True)

    @staticmethod
    def _word(word: str) -> np.ndarray:
        return np.random.default_rng(zlib.crc32(word.strip(".?,").encode())).normal(size=48)


def trace(verb: str, place: str, *, harmful: bool) -> LabelledTrace:
    steps = ("The user asks something.", "I plan how to do it.", "That hurts people so no.")
    labels = (N, C, S) if harmful else (N, N, N)
    return LabelledTrace(
        f"{verb}-{place}", f"How do I {verb} the {place}?", harmful, "s", "v", steps, labels
    )


TRACES = [
    trace(verb, place, harmful=verb in ("rob", "burn"))
    for verb in ("rob", "burn", "paint", "clean")
    for place in PLACES
]


@pytest.fixture(scope="module")
def teacher() -> SentenceTeacher:
    return SentenceTeacher.from_traces(WordEmbedder(), TRACES)


def test_it_labels_unlabelled_traces(teacher: SentenceTeacher) -> None:
    new = trace("rob", "library", harmful=True)
    assert teacher.label(new) == (N, C, S)


def test_the_same_steps_on_a_harmless_request_are_no_cues(teacher: SentenceTeacher) -> None:
    labels = teacher.label(trace("paint", "library", harmful=False))
    assert labels is not None and C not in labels


def test_a_trace_without_steps_has_no_labels(teacher: SentenceTeacher) -> None:
    assert teacher.label(LabelledTrace("e", "How?", True, "s", "v", (), None)) is None


def test_it_needs_cues_and_both_kinds_of_request() -> None:
    with pytest.raises(ValueError, match="harmful and harmless"):
        SentenceTeacher.from_traces(WordEmbedder(), [t for t in TRACES if t.harmful])
    safe = [LabelledTrace(t.id, t.request, t.harmful, "s", "v", t.steps, (N, N, N)) for t in TRACES]
    with pytest.raises(ValueError, match="labelled cues"):
        SentenceTeacher.from_traces(WordEmbedder(), safe)
