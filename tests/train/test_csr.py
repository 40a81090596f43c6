"""Continuation safety ratio on a scripted model whose turning points are known."""

from pathlib import Path
from typing import Any

import pytest
from scripted_generator import scripted_subject

from rerail.train.csr import CsrConfig, cue_correlation, mean_curve, measure_csr, settled
from rerail.train.csr_report import csr_record, write_csr
from rerail.train.judges import ExactJudge
from rerail.train.prompts import PromptRecord, sandbox_prompts
from rerail.train.sandbox.kinds import Kind
from rerail.train.sandbox.shipped import model_folder
from rerail.train.sandbox.vocabulary import load

PROMPTS = sandbox_prompts("test", Kind.HARMFUL, num=6)
CONFIG = CsrConfig(num_continuations=4, stride=4, window=8)
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


def test_settled_needs_the_whole_window() -> None:
    config = CsrConfig(stride=5, window=15)
    assert config.held == 4
    assert settled([0, 5, 10], [0.0, 0.0, 0.0], config) is None
    assert settled([0, 5, 10, 15], [0.5, 0.0, 0.1, 0.0], config) is None
    assert settled([0, 5, 10, 15, 20], [0.5, 0.0, 0.1, 0.0, 0.05], config) == (5, False)
    assert settled([0, 5, 10, 15], [0.9, 1.0, 0.95, 1.0], config) == (0, True)


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
