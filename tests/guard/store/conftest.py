"""Sample traces, and stores in both databases."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

import pytest

from rerail.guard.channels import Channel
from rerail.guard.decision import Verdict
from rerail.guard.events import StepJudged
from rerail.guard.store import Store
from rerail.guard.tokens import Author, TokenTable
from rerail.guard.traces import Action, FinishReason, Intervention, Scanned, Trace

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)


class MakeTrace(Protocol):
    def __call__(self, number: int = 0, *, num_tokens: int = 40, **changes: Any) -> Trace: ...


def sample_trace(number: int = 0, *, num_tokens: int = 40, **changes: Any) -> Trace:
    """A trace with one intervention that worked; the number is in its id, time, text and seed."""
    sampled = num_tokens - 4
    tokens = TokenTable(
        ids=list(range(1000, 1000 + num_tokens)),
        texts=[f" kept{i}" for i in range(num_tokens)],
        authors=[Author.SAMPLED] * (sampled // 2)
        + [Author.INJECTED] * 4
        + [Author.SAMPLED] * (sampled - sampled // 2),
        channels=[Channel.REASONING] * (num_tokens - 10) + [None] + [Channel.ANSWER] * 9,
        scores=[0.001 + i * 0.0001 for i in range(num_tokens - 10)] + [None] * 10,
    )
    cue = TokenTable(
        ids=[7, 8, 9],
        texts=[" First", ", gather", " PLACEHOLDER."],
        authors=[Author.ROLLED_BACK] * 3,
        channels=[Channel.REASONING] * 3,
        scores=[0.25, 0.5, 0.875],
    )
    keep = sampled // 2
    verdicts = [Verdict.RELEASE, Verdict.INTERVENE, Verdict.RELEASE]
    steps = [
        StepJudged(i, Channel.REASONING, f" step {i}.", i * 8, i * 8 + 8, 0.1, verdict, True)
        for i, verdict in enumerate(verdicts)
    ]
    fields: dict[str, Any] = {
        "id": f"{number:012x}deadbeef",
        "created_at": BEGIN + timedelta(minutes=number, microseconds=number),
        "duration_s": 1.5,
        "model": "sandbox",
        "detector": "student@0123abcd",
        "messages": ({"role": "user", "content": f"Request number {number}: ÄRGER 100%_sure?"},),
        "prompt": f"<user>Request number {number}<assistant><think>",
        "prompt_ids": (1, 2, 3, number),
        "tokens": tokens,
        "steps": tuple(steps),
        "interventions": (
            Intervention(
                keep=keep,
                channel=Channel.REASONING,
                step_index=1,
                cue=cue.text.strip(),
                probability=0.875,
                trigger_id="risk-1",
                trigger_kind="risk",
                injected="".join(tokens.texts[keep : keep + 4]),
                num_injected=4,
                rolled_back=cue,
                succeeded=True,
            ),
        ),
        "failures": (),
        "action": Action.INTERVENE,
        "finish_reason": FinishReason.STOP,
        "scanned": Scanned.ALL,
        "leaked_tokens": 0,
        "wait_tokens": 6,
        "sampled_tokens": sampled + 3,
        "policy": "intervene",
        "hold": "step",
        "thresholds": {"reasoning": (0.9, 0.5), "answer": (0.9, 0.6)},
        "sampling": {"temperature": 0.6, "max_tokens": 64, "stop": ["</s>"]},
        "seed": number,
        "topic": None,
    }
    return Trace(**(fields | changes))


@pytest.fixture
def make_trace() -> MakeTrace:
    return sample_trace


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path / "rerail.db") as opened:
        yield opened


@pytest.fixture(params=["sqlite", "postgresql"])
def either_store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """The same test on both databases."""
    if request.param == "sqlite":
        url: str | Path = tmp_path / "rerail.db"
    else:
        url = request.getfixturevalue("postgres_url")
    with Store(url) as opened:
        yield opened
        opened.purge(everything=True)
