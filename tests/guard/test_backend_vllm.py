"""The guard around a real vLLM engine: the embedded model, on the CPU."""

import asyncio
import subprocess
import sys
from typing import Any

import pytest
from fakes import WordDetector
from vllm_asking import CALM, NEVER, firing_on, guarded, raw

from rerail.guard import (
    Action,
    Finished,
    FinishReason,
    Guard,
    GuardConfig,
    Prompt,
    Scanned,
    Token,
    TokenTable,
    Trace,
)

vllm = pytest.mark.vllm
pytestmark = pytest.mark.timeout(600)  # the first one starts the engine


def trace_of(running: Any, guard: Guard, **options: Any) -> Trace:
    return guarded(running, guard).chat(CALM[0], **options).trace


@vllm
@pytest.mark.parametrize(
    "options", [{"temperature": 0.0}, {"temperature": 1.0, "top_p": 1.0, "seed": 5}]
)
def test_a_silent_guard_changes_no_id(vllm_running: Any, options: dict[str, Any]) -> None:
    trace = trace_of(vllm_running, NEVER, **options)
    alone = raw(vllm_running, trace.prompt_ids, **options)
    assert list(trace.tokens.ids) == alone
    assert trace.finish_reason is FinishReason.STOP
    assert trace.scanned is Scanned.ALL
    assert trace.text.count("</think>") == 1 and "<|" not in trace.answer


@vllm
@pytest.mark.parametrize("seed", [None, 5])
def test_after_an_intervention_the_ids_are_those_of_a_cold_run(
    vllm_running: Any, seed: int | None
) -> None:
    options: dict[str, Any] = {"temperature": 0.0}
    if seed is not None:
        options = {"temperature": 1.0, "top_p": 1.0, "seed": seed}
    guard = Guard(firing_on(trace_of(vllm_running, NEVER, **options)))
    trace = trace_of(vllm_running, guard, **options)
    assert trace.action is Action.INTERVENE
    last = trace.interventions[-1]
    resumed = last.keep + last.num_injected
    if seed is not None:
        from rerail.guard.backend_vllm_sampling import sampling_params

        options["seed"] = sampling_params(options, {}, num_kept=resumed, left=1).seed
        assert options["seed"] != seed, "the draws at the beginning would come again"
    context = trace.ids[: len(trace.prompt_ids) + resumed]
    assert list(trace.tokens.ids[resumed:]) == raw(vllm_running, context, **options)


@vllm
def test_the_budget_counts_what_was_injected(vllm_running: Any) -> None:
    whole = trace_of(vllm_running, NEVER, temperature=0.0)
    guard = Guard(firing_on(whole), GuardConfig(max_interventions=1, when_spent="audit"))  # type: ignore[arg-type]
    trace = trace_of(vllm_running, guard, temperature=0.0, max_new_tokens=60)
    assert trace.action is Action.INTERVENE
    assert len(trace.tokens) == 60
    assert trace.finish_reason is FinishReason.LENGTH


@vllm
def test_closing_a_stream_drops_the_request(vllm_running: Any) -> None:
    recorded: list[Trace] = []
    model = guarded(
        vllm_running, Guard(WordDetector(), GuardConfig(hold="none"), record=recorded.append)
    )
    events = model.stream(CALM[0], temperature=0.0, ignore_eos=True)
    next(events)
    events.close()
    assert [trace.finish_reason for trace in recorded] == [FinishReason.CANCELLED]
    assert model.backend.num_open == 0
    assert vllm_running.engine.get_num_unfinished_requests() == 0


@vllm
def test_a_batch_takes_every_kind_of_prompt_and_keeps_their_order(vllm_running: Any) -> None:
    model = guarded(vllm_running, NEVER)
    greedy = {"temperature": 0.0, "max_new_tokens": 40}
    traces = [model.chat(messages, **greedy).trace for messages in CALM]
    kinds = [traces[0].prompt_ids, traces[1].prompt, CALM[2], traces[3].prompt_ids]
    bare = model.with_guard(Guard(None)).generate(kinds, greedy, progress=False)
    assert [each.trace.ids for each in bare] == [trace.ids for trace in traces]
    assert {each.trace.scanned for each in bare} == {Scanned.NONE}
    many = model.generate([kinds[0]] * 100, [greedy | {"seed": n} for n in range(100)])
    assert {each.trace.ids for each in many} == {traces[0].ids}
    assert [each.trace.seed for each in many] == list(range(100))
    with pytest.raises(ValueError, match=r"prompt 1: .*shorten"):
        model.generate([CALM[0], [5] * 2000])


@vllm
def test_tokens_carry_their_log_probabilities_where_asked(vllm_running: Any) -> None:
    backend = guarded(vllm_running, NEVER).backend
    asked = trace_of(vllm_running, NEVER, max_new_tokens=1)
    prompt = Prompt(messages=tuple(CALM[0]), text=asked.prompt, ids=asked.prompt_ids)

    async def tokens(**options: Any) -> list[Token]:
        settings = {"temperature": 0.0, "max_new_tokens": 12, **options}
        stream = backend.stream(prompt, TokenTable(), settings)
        try:
            return [token async for group in stream for token in group]
        finally:
            await stream.close()

    plain, two, own = (
        vllm_running.thread.run(tokens(**options))
        for options in ({}, {"logprobs": 2}, {"logprobs": 0})
    )
    assert [token.id for token in plain] == [token.id for token in two] != []
    assert {token.logprob for token in plain} == {None}
    for token, alone in zip(two, own, strict=True):
        found = token.logprob
        assert found is not None and alone.logprob is not None
        assert found.token == backend.tokenizer.decode([token.id])
        (first, best), (_, next_best) = found.top
        assert (first, best) == (found.token, found.logprob)  # the likeliest is taken
        assert 0 >= best >= next_best
        assert alone.logprob.logprob == pytest.approx(best, abs=1e-4)
        assert len(alone.logprob.top) == 1


@vllm
def test_a_caller_on_a_loop_of_its_own(vllm_running: Any) -> None:
    model = guarded(vllm_running, NEVER)

    async def run() -> list[Any]:
        both = await asyncio.gather(*(model.chat_async(CALM[n], temperature=0.0) for n in (0, 1)))
        events = [event async for event in model.stream_async(CALM[0], temperature=0.0)]
        return [*both, events]

    first, _, events = asyncio.run(run())
    assert isinstance(events[-1], Finished)
    assert events[-1].trace.ids == first.trace.ids
    assert first.answer == model.chat(CALM[0], temperature=0.0).answer


@vllm
@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"n": 2}, "n cannot be used with the guard"),
        ({"prompt_logprobs": 1}, "carry none"),
        ({"structured_outputs": {"json": {}}}, "reasoning parser"),
        ({"temprature": 1}, "unknown sampling setting 'temprature'"),
        ({"temperature": 9.0}, "temperature"),
        ({"max_new_tokens": 0}, "at least 1"),
    ],
)
def test_what_cannot_be_honoured_is_refused(
    vllm_running: Any, options: dict[str, Any], why: str
) -> None:
    with pytest.raises(ValueError, match=why):
        guarded(vllm_running, NEVER).chat(CALM[0], **options)


@vllm
def test_stop_strings_and_biases_reach_the_engine(vllm_running: Any) -> None:
    model = guarded(vllm_running, NEVER)
    whole = model.chat(CALM[0], temperature=0.0).trace
    word = whole.text.split()[12]
    cut = model.chat(CALM[0], temperature=0.0, stop=word).trace
    assert cut.finish_reason is FinishReason.STOP
    assert whole.text.startswith(cut.text) and cut.text.rstrip().endswith(word)
    banned = whole.tokens.ids[0]
    other = model.chat(
        CALM[0], temperature=0.0, logit_bias={str(banned): -100}, max_new_tokens=1
    ).trace
    assert other.tokens.ids[0] != banned


def test_a_missing_vllm_is_named_in_a_sentence() -> None:
    code = "import sys; sys.modules['vllm'] = None; from rerail.guard import GuardedVllm"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "ImportError: this needs vLLM" in done.stderr and "rerail[vllm]" in done.stderr
