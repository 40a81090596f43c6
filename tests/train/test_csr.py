"""Continuation safety ratio on a scripted model whose turning points are known."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scripted_generator import scripted_subject

from rerail.train.csr import measure_csr
from rerail.train.csr_config import CsrConfig
from rerail.train.csr_report import csr_record, write_csr
from rerail.train.csr_trace import CsrTrace, cue_correlation, mean_curve
from rerail.train.judges import ExactJudge
from rerail.train.prompts import PromptRecord, sandbox_prompts
from rerail.train.sandbox.kinds import Kind
from rerail.train.sandbox.shipped import model_folder
from rerail.train.sandbox.vocabulary import load
from rerail.train.turning_point import TurningPoint, TurningSearch, turning_point

PROMPTS = sandbox_prompts("test", Kind.HARMFUL, num=6)
CONFIG = CsrConfig(num_continuations=4, stride=4, resolution=1, window=8)
BAD = "I need to plan step A. Then step B. After that comes step C.\n</think>\n\n1. Do step A."
GOOD = "This would hurt somebody, so I won't help with it.\n</think>\n\nI can't help with that."


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return load(model_folder())


def write(prompt: PromptRecord, written: str, seed: int) -> str:
    """Prompt n has n neutral sentences first; until they are over it may still turn out well."""
    number = PROMPTS.index(prompt)
    lead = "".join(f"Let me see what is asked, part {n}. " for n in range(number))
    if written and lead.startswith(written):
        rest = lead[len(written) :]
        return rest + (GOOD if seed % 2 else BAD)
    whole = lead + (GOOD if number == 0 else BAD)
    return whole[len(written) :] if whole.startswith(written) else BAD


def test_turning_points_follow_the_first_cue(tokenizer: Any, tmp_path: Path) -> None:
    subject, generator = scripted_subject(tokenizer, PROMPTS, write)
    traces = measure_csr(subject, PROMPTS, ExactJudge(), CONFIG, tmp_path)
    assert [each.unsafe for each in traces] == [False] + [True] * 5
    safe, *unsafe = traces
    assert (safe.settled_safe, safe.first_cue) == (True, None)
    assert all(each.settled_safe is False for each in unsafe)
    cues = [each.first_cue for each in unsafe if each.first_cue is not None]
    assert len(cues) == len(unsafe)
    assert cues == sorted(set(cues))
    correlation = cue_correlation(traces)
    assert correlation.num == 5
    assert correlation.value is not None and correlation.value > 0.95
    before = generator.num_jobs
    assert measure_csr(subject, PROMPTS, ExactJudge(), CONFIG, tmp_path) == traces
    assert generator.num_jobs == before
    record = write_csr({"base": traces, "trained": traces[:1]}, tmp_path)
    assert (
        record["base"]["trigger_share_safe"]["value"]
        == csr_record(traces[:1])["trigger_share_safe"]["value"]
    )
    assert (tmp_path / "csr.png").exists() and (tmp_path / "turning_points.png").exists()


def _point(ratios: list[float], config: CsrConfig) -> TurningPoint | None:
    by_position = {config.resolution * n: ratio for n, ratio in enumerate(ratios)}
    return turning_point(by_position, by_position, config)


def test_settled_needs_the_whole_window() -> None:
    config = CsrConfig(resolution=5, window=15)
    assert _point([0.0, 0.0, 0.0], config) is None
    assert _point([0.5, 0.0, 0.1, 0.0], config) is None
    assert _point([0.5, 0.0, 0.1, 0.0, 0.05], config) == TurningPoint(5, False)
    assert _point([0.9, 1.0, 0.95, 1.0], config) == TurningPoint(0, True)
    assert _point([0.0, 0.0, 1.0, 1.0], config) is None


def _search(ratio: Callable[[int], float], config: CsrConfig, num_tokens: int) -> TurningSearch:
    search = TurningSearch(config, num_tokens)
    while search.wanted:
        search.add({each: ratio(each) for each in search.wanted})
    return search


@given(
    turn=st.integers(0, 60),
    stride=st.integers(1, 12),
    resolution=st.integers(1, 4),
    window=st.integers(1, 20),
    safe=st.booleans(),
)
def test_the_search_finds_the_turn_to_within_its_resolution(
    turn: int, stride: int, resolution: int, window: int, safe: bool
) -> None:
    config = CsrConfig(stride=stride, resolution=min(resolution, stride), window=window)
    after = 1.0 if safe else 0.0
    search = _search(lambda at: after if at >= turn else 0.5, config, 120)
    assert search.found is not None and search.found.safe is safe
    assert 0 <= search.found.position - turn < max(config.resolution, 1)
    assert max(search.ratios) <= turn + 2 * stride + window, "it goes no further than it must"


def test_a_ratio_that_comes_back_between_two_wide_steps_has_not_settled() -> None:
    """The bug it would catch: positions far apart that are low by chance."""

    def ratio(at: int) -> float:
        return 0.3 if at < 40 and at % 8 else 0.0

    assert _search(ratio, CsrConfig(stride=8, resolution=8), 100).found == TurningPoint(0, False)
    search = _search(ratio, CsrConfig(stride=8, resolution=2), 100)
    assert search.found == TurningPoint(40, False)


def test_a_search_ends_with_the_trace() -> None:
    search = _search(lambda at: 0.5, CsrConfig(stride=8), 30)
    assert search.found is None
    assert sorted(search.ratios) == [0, 8, 16, 24]


def test_what_the_request_alone_settled_can_be_left_out() -> None:
    traces = [
        CsrTrace(str(n), 60, (0,), (0.0,), True, turning, False, cue, cue + 9, None)
        for n, (cue, turning) in enumerate([(10, 11), (20, 22), (30, 31), (50, 0)])
    ]
    assert cue_correlation(traces).num == 4
    within = cue_correlation(traces, turned=True)
    assert within.num == 3 and within.value is not None and within.value > 0.99


def test_a_settled_trace_keeps_its_ratio_in_the_mean(tokenizer: Any, tmp_path: Path) -> None:
    subject, _ = scripted_subject(tokenizer, PROMPTS, write)
    traces = measure_csr(subject, PROMPTS[:2], ExactJudge(), CONFIG, tmp_path)
    last = max(place for each in traces for place in each.positions)
    assert mean_curve(traces, [last + 100]) == [0.5]


def test_wrong_settings_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        CsrConfig(stride=0)
    with pytest.raises(ValueError, match="low is"):
        CsrConfig(low=0.9, high=0.1)
