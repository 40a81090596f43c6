"""`GuardedModel.chat` and `stream`: conversations, and what happens as events."""

import copy
import threading
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from client_text import shown  # noqa: E402
from fakes import WordDetector  # noqa: E402
from tiny_guarded import MESSAGES, OPTIONS, guarded, saying  # noqa: E402
from tiny_models import tiny_model, tiny_tokenizer  # noqa: E402
from transformers import LogitsProcessor  # noqa: E402

from rerail.guard import (  # noqa: E402
    Action,
    Finished,
    FinishReason,
    GuardedModel,
    Released,
    Retracted,
    RolledBack,
    StepJudged,
    Trace,
    TriggerInjected,
)

CUE = "<think>\nI should think. The plan is to mix it. Then</think>\n\nThe answer is four."

pytestmark = pytest.mark.usefixtures("one_thread")


def test_chat_answers_a_conversation_in_its_parts() -> None:
    guard = guarded()
    text = "<think>\nAll is well.\n</think>\n\nThe answer is four.<|im_end|>"
    result = guard.chat(MESSAGES, **saying(text))
    assert result.reasoning.strip() == "All is well."
    assert result.answer.strip() == "The answer is four."
    assert result.finish_reason is FinishReason.STOP
    assert result.trace.action is Action.ALLOW
    assert result.trace.messages == tuple(MESSAGES)
    assert guard.last_traces == (result.trace,)


def test_stream_tells_what_happens_in_order_and_chat_gives_the_same() -> None:
    guard = guarded()
    events = list(guard.stream(MESSAGES, **saying(CUE)))
    kinds = [type(event) for event in events]
    first = kinds.index(RolledBack)
    assert kinds[first - 1 : first + 2] == [StepJudged, RolledBack, TriggerInjected]
    assert kinds.count(Finished) == 1 and isinstance(events[-1], Finished)
    trace = events[-1].trace
    assert shown(events) == trace.text
    assert "mix" not in trace.text and "Wait, stop here." in trace.text
    assert trace.tokens == guard.chat(MESSAGES, **saying(CUE)).trace.tokens


def test_stream_gives_text_while_the_model_still_writes() -> None:
    class Gate(LogitsProcessor):
        """Waits before the second step until the reader has seen the first."""

        def __call__(self, input_ids: Any, scores: Any) -> Any:
            if "The answer" in tiny_tokenizer().decode(input_ids[0, -8:]):
                assert seen.wait(30)
            return scores

    seen = threading.Event()
    options = saying("All is well here. The answer is four. Nothing")
    options["logits_processor"].append(Gate())
    for event in guarded().stream(MESSAGES, **options):
        if isinstance(event, Released) and "All is well" in event.text:
            seen.set()
    assert seen.is_set()


def test_closing_a_stream_ends_the_generation_and_records_it_as_cancelled() -> None:
    traces: list[Trace] = []
    guard = guarded(record=traces.append)
    options = saying("All is well here. The answer is four. Nothing to see, and nothing to do.")
    events = guard.stream(MESSAGES, **{**options, "max_new_tokens": 400})
    assert any(isinstance(event, StepJudged) for event in events)
    events.close()  # type: ignore[attr-defined]
    [trace] = traces
    assert trace.finish_reason is FinishReason.CANCELLED
    assert 0 < len(trace.tokens) < 400
    assert guard.chat(MESSAGES, **saying(CUE)).trace.action is Action.INTERVENE  # not left locked


def test_a_stream_that_nobody_reads_generates_nothing() -> None:
    detector = WordDetector()
    guarded(detector=detector).stream(MESSAGES, **OPTIONS)
    assert detector.started == []


def test_errors_of_the_worker_reach_the_reader() -> None:
    class Breaks(LogitsProcessor):
        def __call__(self, input_ids: Any, scores: Any) -> Any:
            raise RuntimeError("out of order")

    with pytest.raises(RuntimeError, match="out of order"):
        list(guarded().stream(MESSAGES, **OPTIONS, logits_processor=[Breaks()]))


def test_two_streams_read_in_turns_do_not_disturb_each_other() -> None:
    guard = guarded()
    alone = list(guard.stream(MESSAGES, **saying(CUE)))
    pairs = list(
        zip(
            guard.stream(MESSAGES, **saying(CUE)),
            guard.stream(MESSAGES, **saying(CUE)),
            strict=True,
        )
    )
    assert [type(one) for one, _ in pairs] == [type(event) for event in alone]
    assert shown([one for one, _ in pairs]) == shown([two for _, two in pairs]) == shown(alone)


@pytest.mark.parametrize("hold", ["none", 3])
def test_what_leaks_without_a_hold_is_taken_back(hold: Any) -> None:
    events = list(guarded(hold=hold).stream(MESSAGES, **saying(CUE)))
    assert isinstance(events[-1], Finished)
    assert any(isinstance(event, Retracted) for event in events)
    assert shown(events) == events[-1].trace.text
    assert events[-1].trace.leaked_tokens > 0


def test_a_seed_repeats_a_chat_and_leaves_the_global_generators_alone() -> None:
    guard = guarded()
    options = {**saying(CUE), "do_sample": True}
    torch.manual_seed(1)
    before = torch.get_rng_state()
    one = guard.chat(MESSAGES, seed=11, **options).trace
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    two = guard.chat(MESSAGES, seed=11, **options).trace
    assert one.ids == two.ids and one.seed == 11
    assert one.sampling == two.sampling and one.sampling["resume_seeds"]
    assert guard.chat(MESSAGES, seed=12, **options).trace.ids != one.ids


def test_a_conversation_takes_the_room_that_the_context_has() -> None:
    trace = guarded(detector=WordDetector()).chat(MESSAGES, do_sample=False).trace
    assert trace.sampling["max_new_tokens"] == 512 - len(trace.prompt_ids)
    long = [{"role": "user", "content": "wait " * 600}]
    with pytest.raises(ValueError, match="shorten the conversation"):
        guarded().chat(long)


def test_mistakes_in_a_conversation_are_said_at_once() -> None:
    guard = guarded()
    with pytest.raises(ValueError, match="no messages"):
        guard.chat([])
    with pytest.raises(ValueError, match="no messages"):
        guard.stream([])  # not only when the first event is asked for
    with pytest.raises(ValueError, match="one sequence"):
        guard.chat(MESSAGES, num_return_sequences=2, do_sample=True)
    bare = copy.deepcopy(tiny_tokenizer())
    bare.chat_template = None
    with pytest.raises(ValueError, match="no chat template"):
        GuardedModel(tiny_model("qwen3"), bare, detector=WordDetector()).chat(MESSAGES)
