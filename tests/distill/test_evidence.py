"""Voices and sources left out, and curves by source, with an embedder made of words."""

import json
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_traces import write_trace_file

from rerail.distill.evidence import SHARES, EvidenceConfig, area, gather
from rerail.distill.labels import Label, LabelledTrace


class Words:
    """Texts as bags of words in 64 places; counts what it is asked."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def encode(self, sentences: list[str], **options: Any) -> np.ndarray:
        self.texts += sentences
        rows = np.zeros((len(sentences), 64), np.float32)
        for row, sentence in zip(rows, sentences, strict=True):
            for word in sentence.lower().split():
                row[zlib.crc32(word.encode()) % 64] += 1
        return rows


def test_evidence_is_gathered_written_and_drawn(tmp_path: Path) -> None:
    first = write_trace_file(tmp_path / "first.jsonl")
    second = tmp_path / "second.jsonl"
    lines = [json.loads(line) for line in first.read_text().splitlines()]
    for line in lines:
        line |= {"model": "other", "id": f"s-{line['id']}"}
        line["request"] = line["request"].replace("the", "that")
    second.write_text("".join(json.dumps(line) + "\n" for line in lines))
    words = Words()
    config = EvidenceConfig(traces=(first, second), out=tmp_path / "out")
    evidence = gather(config, words)
    assert [row.name for row in evidence.voices] == ["other", "tiny"]
    assert [row.name for row in evidence.sources] == ["first", "second"]
    for row in (*evidence.voices, *evidence.sources):
        assert row.num_traces == 18
        assert row.seen is not None and row.unseen is not None and 0.5 < row.unseen <= 1.0
    assert [curve.source for curve in evidence.curves] == ["first", "second"]
    assert all(curve.shares == SHARES and None not in curve.everywhere for curve in evidence.curves)
    assert len(words.texts) == len(set(words.texts))  # no text is embedded twice
    assert json.loads((config.out / "evidence.json").read_text())["voices"][0]["name"] == "other"
    for name in ("voices.png", "curves.png"):
        assert (config.out / name).read_bytes().startswith(b"\x89PNG")


def test_the_area_counts_labelled_steps_only() -> None:
    steps, labels = ("a", "b", "c"), (Label.NEUTRAL, Label.CUE)
    trace = LabelledTrace("1", "How?", True, "f", "v", steps, labels)
    assert area([trace], {"1": np.array([0.1, 0.9, 0.0])}) == 1.0
    assert area([trace], {}) is None


def test_settings_that_cannot_be_are_refused() -> None:
    with pytest.raises(ValueError, match="traces is empty"):
        EvidenceConfig(traces=(), out=Path("x"))
    with pytest.raises(ValueError, match="num_folds is 1"):
        EvidenceConfig(traces=(Path("x"),), out=Path("x"), num_folds=1)
