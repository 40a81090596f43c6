"""Detectors by name: the shipped ones, a student's folder, a module of the user's own."""

from pathlib import Path

import pytest

from rerail.guard.detector_loading import load_detector

OWN = """
import numpy as np
from rerail.guard import Thresholds

class Mentions:
    identity = "mentions@1"
    thresholds = Thresholds.uniform(inside=1.0, end=0.5)

    def start(self, messages):
        return ()

    def score(self, states, texts, channels):
        return list(states), np.zeros(len(states), np.float32)

    def end_step(self, states, steps):
        return list(states), np.array(["forbidden" in step for step in steps], np.float32)

class Halves:
    identity = "halves@1"

def broken():
    raise ValueError("the detector's own words")
"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A module in the working folder, new for every test."""
    name = f"own_{tmp_path.name.replace('-', '_')}"
    (tmp_path / f"{name}.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)
    return name


def test_a_detector_of_the_users_own_is_found_where_they_are(own: str) -> None:
    detector = load_detector(f"{own}:Mentions")
    assert detector.identity == "mentions@1"
    _, probability = detector.end_step([()], ["a forbidden step"])
    assert probability.tolist() == [1.0]


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("Nothing", "is not there: .*Nothing"),
        ("Halves", "makes no detector: it has no thresholds, start, score, end_step"),
        ("broken", "the detector's own words"),
    ],
)
def test_what_makes_no_detector_is_refused(own: str, name: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        load_detector(f"{own}:{name}")


@pytest.mark.parametrize("name", ["no_such_module:Thing", "no/such/folder", ":", "a:"])
def test_an_unknown_name_says_what_there_is(name: str) -> None:
    with pytest.raises(ValueError, match=r"is not there|there is no detector"):
        load_detector(name)
