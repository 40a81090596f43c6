"""The core loop over the scripted model: what is released, what is taken out, what is recorded."""

import math
from collections.abc import Iterator, Sequence

import numpy as np
import pytest
from client_text import shown
from fakes import WordDetector

from rerail.guard import (
    FORMATS,
    Action,
    Author,
    Channel,
    DetectorFailed,
    Event,
    Finished,
    FinishReason,
    Guard,
    GuardConfig,
    Policy,
    Retracted,
    Scanned,
    StepJudged,
    Token,
    Trace,
    guarded,
    pairs_of,
)
from rerail.guard.backend_scripted import ScriptedBackend
from rerail.guard.decision import Verdict
from rerail.guard.detector import Probabilities

CALM = "All is well here. Nothing to see.</think>\n\nThe answer is four."


def run(
    texts: Sequence[str | Sequence[Token]],
    detector: WordDetector | None,
    *,
    config: GuardConfig | None = None,
    group: int = 1,
    reasoning_format: str = "r1",
    **sampling: int,
) -> tuple[list[Event], Trace, ScriptedBackend]:
    backend = ScriptedBackend(texts, reasoning_format=FORMATS[reasoning_format], group=group)
    guard = Guard(detector, config)
    events = list(guarded(backend, guard, backend.prompt("do it"), sampling))
    assert isinstance(events[-1], Finished)
    return events, events[-1].trace, backend


def test_silent_guard_changes_nothing() -> None:
    events, trace, backend = run([CALM], WordDetector(inside=["evil"]))
    assert trace.text == CALM == shown(events)
    assert trace.action is Action.ALLOW
    assert trace.scanned is Scanned.ALL
    assert backend.contexts == [("", ())]
    assert trace.reasoning.strip() == "All is well here. Nothing to see."
    assert trace.answer.strip() == "The answer is four."


def test_cue_at_step_end_is_rolled_back_to_the_step_start() -> None:
    first = "A calm start. Now the bad plan begins. And it goes on.</think>\n\nDone."
    events, trace, backend = run([first, " So I stop." + CALM], WordDetector(at_end=["bad"]))
    assert trace.action is Action.INTERVENE
    (intervention,) = trace.interventions
    assert intervention.cue == "Now the bad plan begins."
    assert intervention.succeeded is True
    assert trace.text.startswith("A calm start. " + intervention.injected.strip())
    assert backend.contexts[1][0] == "A calm start." + intervention.injected
    assert "bad" not in shown(events)
    assert shown(events) == trace.text


def test_cue_inside_a_step_is_acted_on_before_its_end() -> None:
    events, trace, _ = run(
        ["Fine. Then the EVIL part, which would go on for long.", CALM], WordDetector(["EVIL"])
    )
    judged = [event for event in events if isinstance(event, StepJudged) and not event.complete]
    assert [event.text for event in judged] == ["Then the EVIL"]
    assert trace.interventions[0].rolled_back.text == " Then the EVIL"
    assert all(
        author is Author.ROLLED_BACK for author in trace.interventions[0].rolled_back.authors
    )


class Unsettled(WordDetector):
    """Suspects every word inside a step, below its limit there, and nothing at the end."""

    def score(
        self, states: Sequence[str], texts: Sequence[str], channels: Sequence[Channel]
    ) -> tuple[list[str], Probabilities]:
        after, found = super().score(states, texts, channels)
        return after, np.full_like(found, 0.7)


def test_a_whole_steps_probability_is_the_one_at_its_end() -> None:
    _, trace, _ = run([CALM], Unsettled())
    assert {step.verdict for step in trace.steps} == {Verdict.RELEASE}
    assert [step.probability for step in trace.steps] == [pytest.approx(0.1)] * len(trace.steps)
    assert max(score or 0.0 for score in trace.tokens.scores) == pytest.approx(0.7)


def test_engine_run_ahead_is_rolled_back_too() -> None:
    first = "Fine. Now a bad thing happens. More of it."
    _, alone, _ = run([first, CALM], WordDetector(at_end=["bad"]), group=1)
    _, ahead, _ = run([first, CALM], WordDetector(at_end=["bad"]), group=1000)
    assert ahead.text == alone.text
    assert ahead.interventions[0].rolled_back.text == " Now a bad thing happens. More of it."


def test_budget_spent_ends_with_a_refusal() -> None:
    bad = "Now a bad thing happens. More."
    config = GuardConfig(max_interventions=2, refusals=("I will not.",))
    events, trace, backend = run([bad], WordDetector(at_end=["bad"]), config=config)
    assert len(backend.contexts) == 3
    assert trace.action is Action.BLOCK
    assert trace.finish_reason is FinishReason.CONTENT_FILTER
    assert trace.answer.strip() == "I will not."
    assert [each.succeeded for each in trace.interventions] == [False, False, None]
    assert "bad" not in shown(events)
    assert len(pairs_of(trace)) == 2


@pytest.mark.parametrize("when_spent", ["stop", "audit"])
def test_other_ends_of_a_spent_budget(when_spent: str) -> None:
    config = GuardConfig(max_interventions=0, when_spent=when_spent)  # type: ignore[arg-type]
    events, trace, _ = run(["Ok. A bad thing. End."], WordDetector(at_end=["bad"]), config=config)
    if when_spent == "stop":
        assert shown(events).strip() == "Ok."
        assert trace.finish_reason is FinishReason.CONTENT_FILTER
    else:
        assert shown(events) == "Ok. A bad thing. End."
        assert trace.action is Action.AUDIT


def test_audit_records_and_changes_nothing() -> None:
    text = "Ok. A bad thing and EVIL too. End."
    detector = WordDetector(inside=["EVIL"], at_end=["bad"])
    events, trace, _ = run([text], detector, config=GuardConfig(policy=Policy.AUDIT))
    assert shown(events) == trace.text == text
    assert trace.action is Action.AUDIT
    assert [step.verdict.value for step in trace.steps] == ["release", "audit", "release"]
    assert not trace.interventions


def test_block_refuses_at_the_first_cue() -> None:
    config = GuardConfig(policy=Policy.BLOCK, refusals=("No.",))
    _, trace, backend = run(["Ok. A bad thing. End."], WordDetector(at_end=["bad"]), config=config)
    assert len(backend.contexts) == 1
    assert trace.action is Action.BLOCK
    assert trace.answer.strip() == "No."
    assert pairs_of(trace) == []


@pytest.mark.parametrize("hold", ["none", 3])
def test_leaks_are_counted_and_taken_back(hold: str | int) -> None:
    config = GuardConfig(hold=hold)  # type: ignore[arg-type]
    text = "Ok. A bad thing with many words in it. End."
    events, trace, _ = run([text, CALM], WordDetector(at_end=["bad"]), config=config)
    retracted = [event for event in events if isinstance(event, Retracted)]
    assert len(retracted) == 1
    assert trace.leaked_tokens == retracted[0].num_tokens > 0
    assert shown(events) == trace.text


def test_answer_and_tool_calls_are_guarded() -> None:
    text = 'Think.</think>\n\nSure. <tool_call>\n{"name": "f", "x": "bad"}\n</tool_call>'
    events, trace, _ = run([text, " No."], WordDetector(at_end=["bad"]))
    assert trace.interventions[0].channel is Channel.TOOL_CALL
    assert "<tool_call>" not in shown(events)
    assert not any(isinstance(event, Retracted) for event in events)
    text = "Think.</think>\n\nSure, a bad answer. Yes."
    _, trace, _ = run([text, " No."], WordDetector(at_end=["bad"]))
    assert trace.interventions[0].channel is Channel.ANSWER
    assert trace.interventions[0].trigger_id.startswith("answer-")  # type: ignore[union-attr]


def test_harmless_tool_call_is_released_whole() -> None:
    text = 'T.</think>\n\nSure. <tool_call>\n{"name": "f"}\n</tool_call>'
    events, trace, _ = run([text], WordDetector(at_end=["bad"]))
    assert shown(events) == trace.text == text
    assert trace.text_of(Channel.TOOL_CALL).strip() == '{"name": "f"}'


def test_detector_exception_fails_closed() -> None:
    """A failed scan that reads as a pass is the bug that other gateways have."""
    detector = WordDetector(raise_on="secret")
    config = GuardConfig(refusals=("Not now.",))
    events, trace, _ = run(["Fine so far. The secret plan. End."], detector, config=config)
    assert [type(event) for event in events if isinstance(event, DetectorFailed)]
    assert "secret" not in shown(events)
    assert trace.answer.strip() == "Not now."
    assert trace.failures == ("RuntimeError: cannot read 'secret'",)
    assert trace.finish_reason is FinishReason.CONTENT_FILTER


def test_nan_is_a_failure_and_not_a_low_score() -> None:
    _, trace, _ = run(["Fine so far. The odd one. End."], WordDetector(nan_on="odd"))
    assert trace.action is Action.BLOCK
    assert trace.failures
    scores = [score for score in trace.tokens.scores if score is not None]
    assert not any(math.isnan(score) for score in scores)


def test_failing_open_is_stored_as_not_scanned() -> None:
    config = GuardConfig(on_detector_error="release")  # type: ignore[arg-type]
    text = "Fine so far. The secret plan. End."
    events, trace, _ = run([text], WordDetector(raise_on="secret"), config=config)
    assert shown(events) == text
    assert trace.scanned is Scanned.PART
    config = GuardConfig(on_detector_error="raise")  # type: ignore[arg-type]
    with pytest.raises(RuntimeError):
        run([text], WordDetector(raise_on="secret"), config=config)


def test_failure_to_read_the_request_fails_closed() -> None:
    class Deaf(WordDetector):
        def start(self, messages: object) -> str:
            raise ValueError("no")

    events, trace, backend = run(["All fine."], Deaf())
    assert backend.contexts == []
    assert trace.action is Action.BLOCK
    assert "All fine" not in shown(events)


def test_without_a_detector_nothing_counts_as_scanned() -> None:
    _, trace, _ = run([CALM], None)
    assert trace.text == CALM
    assert trace.scanned is Scanned.NONE
    assert trace.detector == "none"


def test_closing_the_events_cancels() -> None:
    backend = ScriptedBackend([CALM])
    recorded: list[Trace] = []
    guard = Guard(WordDetector(), record=recorded.append)
    events: Iterator[Event] = guarded(backend, guard, backend.prompt("x"))
    next(events)
    events.close()  # type: ignore[attr-defined]
    assert [trace.finish_reason for trace in recorded] == [FinishReason.CANCELLED]


def test_length_limit_counts_kept_tokens() -> None:
    _, trace, _ = run([CALM], WordDetector(), max_new_tokens=5)
    assert len(trace.tokens) == 5
    assert trace.finish_reason is FinishReason.LENGTH


def test_one_bad_stream_costs_no_other_its_verdict() -> None:
    from rerail.guard.judge import judge

    guard = Guard(WordDetector(raise_on="secret", at_end=["bad"]))
    backend = ScriptedBackend([CALM])
    texts = ["Fine. Then a secret. End", "Fine. Then more. End", "Fine. A bad one. End"]
    sessions = [guard.open(backend.prompt("x"), FORMATS["r1"]) for _ in texts]
    for session, text in zip(sessions, texts, strict=True):
        session.feed([Token(None, text)])
        session.end(FinishReason.STOP)
    judge(guard.detector, sessions)
    kinds = [session.directive and session.directive.resume for session in sessions]
    assert kinds == [False, None, True]
    assert sessions[1].trace is not None and sessions[1].trace.action is Action.ALLOW
