"""Boundaries against the sentence spans of real reasoning traces, made by another splitter."""

import json
from pathlib import Path

import pytest

from rerail.guard.reasoning_format import FORMATS
from rerail.guard.segmenter import Segmenter

TRACES = Path(__file__).parents[3] / "shared" / "data" / "traces"


@pytest.mark.parametrize(
    ("name", "least"),
    [
        ("advbench_r1_llama_8b", 0.999),
        ("alpaca_r1_llama_8b", 0.997),
        ("authored", 0.98),
        ("essays_benign", 0.985),
        ("star1_r1_safe", 0.998),
    ],
)
def test_boundaries_of_real_traces(name: str, least: float) -> None:
    """F1 of the steps' starts; the other splitter parts "vs." and "#### 1." from what follows."""
    file = TRACES / f"{name}.jsonl"
    if not file.exists():
        pytest.skip("needs the traces of ../shared/data, which are not here")
    num_ours = num_theirs = num_both = 0
    for line in file.read_text().splitlines():
        trace = json.loads(line)
        segmenter = Segmenter(FORMATS["none"], reasoning_open=False)
        ours = {step.start for step in segmenter.feed(trace["think"]) + segmenter.flush()}
        theirs = {begin for begin, _ in trace["steps"]}
        num_ours, num_theirs = num_ours + len(ours), num_theirs + len(theirs)
        num_both += len(ours & theirs)
    assert 2 * num_both / (num_ours + num_theirs) >= least
