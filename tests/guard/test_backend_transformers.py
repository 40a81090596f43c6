"""`GuardedModel.generate` against `model.generate`, over small models with random weights."""

from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from fakes import WordDetector  # noqa: E402
from tiny_guarded import GREEDY, KEPT, POOL, PROMPT, continued_from, guarded, prompts, script  # noqa: E402
from tiny_models import CONFIGS, tiny_model, tiny_tokenizer  # noqa: E402
from transformers import (  # noqa: E402
    LogitsProcessor,
)

from rerail.guard import (  # noqa: E402
    Action,
    Author,
    FinishReason,
    GuardedModel,
    Trace,
)

KINDS = list(CONFIGS)
SAMPLED: dict[str, Any] = {"do_sample": True, "temperature": 1.3, "top_p": 0.95}

pytestmark = pytest.mark.usefixtures("one_thread")


def seeded(seed: int, generate: Any, *args: Any, **kwargs: Any) -> Any:
    torch.manual_seed(seed)
    return generate(*args, **kwargs)


def cold_run(kind: str, trace: Trace, total: int, sampling: dict[str, Any]) -> list[int]:
    """What the model alone gives for the ids that the guard had it continue."""
    ids = torch.tensor([continued_from(trace)])
    if sampling["do_sample"]:
        torch.manual_seed(trace.sampling["resume_seeds"][-1])
    room = total - (ids.shape[1] - len(trace.prompt_ids))
    output = tiny_model(kind).generate(
        input_ids=ids, attention_mask=torch.ones_like(ids), max_new_tokens=room, **sampling
    )
    return output[0].tolist()


@pytest.mark.parametrize("sampling", [GREEDY, SAMPLED], ids=["greedy", "sampled"])
@pytest.mark.parametrize("kind", KINDS)
def test_ids_and_random_numbers_are_those_of_generate_while_nothing_fires(
    kind: str, sampling: dict[str, Any]
) -> None:
    model, guard = tiny_model(kind), guarded(kind, words=())
    inputs = prompts(PROMPT, "All is well", "I")
    options = {**sampling, "max_new_tokens": 40}
    if sampling["do_sample"]:
        options["num_return_sequences"] = 2
    expected = seeded(3, model.generate, **inputs, **options)
    random_state = torch.get_rng_state()
    assert torch.equal(seeded(3, guard.generate, **inputs, **options), expected)
    assert torch.equal(torch.get_rng_state(), random_state)
    assert {trace.action for trace in guard.last_traces} == {Action.ALLOW}
    assert len(guard.last_traces) == len(expected)


@pytest.mark.parametrize("sampling", [GREEDY, SAMPLED], ids=["greedy", "sampled"])
@pytest.mark.parametrize("kind", KINDS)
def test_ids_after_an_intervention_are_those_of_a_cold_run(
    kind: str, sampling: dict[str, Any]
) -> None:
    guard, inputs = guarded(kind), prompts()
    options = {**sampling, **script(inputs), "max_new_tokens": 70}
    output = seeded(5, guard.generate, **inputs, **options)
    [trace] = guard.last_traces
    assert trace.action is Action.INTERVENE
    assert trace.text.startswith(KEPT)
    assert output[0].tolist() == list(trace.ids) == cold_run(kind, trace, 70, sampling)
    assert torch.equal(seeded(5, guard.generate, **inputs, **options), output)


@pytest.mark.parametrize("sampling", [GREEDY, SAMPLED], ids=["greedy", "sampled"])
@pytest.mark.parametrize("kind", KINDS)
def test_rows_of_a_batch_do_not_feel_an_intervention_in_another(
    kind: str, sampling: dict[str, Any]
) -> None:
    model, guard, inputs = tiny_model(kind), guarded(kind), prompts(PROMPT, "All is well", "I")
    options = {**sampling, **script(inputs, rows={1}), "max_new_tokens": 60}
    expected = seeded(4, model.generate, **inputs, **options)
    output = seeded(4, guard.generate, **inputs, **options)
    pad = tiny_tokenizer().pad_token_id
    for row in (0, 2):
        both = max(len(expected[row]), len(output[row]))
        rows = [[*each[row].tolist(), *[pad] * both][:both] for each in (expected, output)]
        assert rows[0] == rows[1]
    trace = guard.last_traces[1]
    assert trace.text.startswith(KEPT)
    assert cold_run(kind, trace, 60, sampling) == list(trace.ids)


def test_several_rows_are_resumed_together_each_with_its_own_budget() -> None:
    guard, inputs = guarded(), prompts(PROMPT, "All is well", "I")
    output = guard.generate(**inputs, **GREEDY, **script(inputs, rows={0, 2}), max_new_tokens=60)
    width = inputs["input_ids"].shape[1]
    for row, trace in enumerate(guard.last_traces):
        ids = list(trace.tokens.known_ids())
        assert output[row, width : width + len(ids)].tolist() == ids
        assert len(ids) <= 60
        if row != 1:
            assert cold_run("qwen3", trace, 60, GREEDY) == list(trace.ids)


class Forwards:
    """Records how many tokens each forward pass of a model was given."""

    def __init__(self, model: Any) -> None:
        self.lengths: list[int] = []
        self._hook = model.register_forward_pre_hook(self._record, with_kwargs=True)

    def _record(self, _: Any, args: Any, kwargs: dict[str, Any]) -> None:
        self.lengths.append(kwargs["input_ids"].shape[1])

    def __enter__(self) -> "Forwards":
        return self

    def __exit__(self, *_: object) -> None:
        self._hook.remove()


@pytest.mark.parametrize(
    ("kind", "cropped"),
    [("qwen3", True), ("llama", True), ("gemma3", False), ("qwen3_next", False)],
)
def test_the_cache_is_cropped_where_it_can_be_and_read_anew_elsewhere(
    kind: str, cropped: bool
) -> None:
    guard, inputs = guarded(kind), prompts()
    with Forwards(guard.model) as forwards:
        guard.generate(**inputs, **GREEDY, **script(inputs), max_new_tokens=60)
    first, *rest = forwards.lengths
    [resumed] = [length for length in rest if length > 1]
    [trace] = guard.last_traces
    assert first == len(trace.prompt_ids)
    injected = trace.interventions[0].num_injected
    assert resumed == (injected if cropped else len(continued_from(trace)))


def test_a_cue_in_the_last_step_takes_the_end_token_out_with_it() -> None:
    guard, inputs = guarded(), prompts()
    text = "<think>\nAll is well. The plan is to mix<|im_end|>"
    guard.generate(**inputs, **GREEDY, **script(inputs, text), max_new_tokens=50)
    [trace] = guard.last_traces
    assert trace.text.startswith("<think>\nAll is well. Wait, stop here.")
    assert trace.interventions[0].rolled_back.ids[-1] == tiny_tokenizer().eos_token_id
    assert cold_run("qwen3", trace, 50, GREEDY) == list(trace.ids)


@pytest.mark.parametrize("total", [21, 24, 27, 30, 34])
def test_the_budget_counts_kept_tokens_and_cuts_a_trigger_that_is_too_long(total: int) -> None:
    guard, inputs = guarded(), prompts()
    output = guard.generate(**inputs, **GREEDY, **script(inputs), max_new_tokens=total)
    [trace] = guard.last_traces
    assert output.shape[1] - inputs["input_ids"].shape[1] == len(trace.tokens) == total
    assert trace.finish_reason is FinishReason.LENGTH
    limited = guard.generate(
        **inputs, **GREEDY, **script(inputs), max_length=inputs["input_ids"].shape[1] + total
    )
    assert torch.equal(limited, output)


def test_a_refusal_is_followed_by_the_end_token() -> None:
    guard, inputs = guarded(policy="block", refusals=("No.",)), prompts()
    output = guard.generate(**inputs, **GREEDY, **script(inputs), max_new_tokens=60)
    [trace] = guard.last_traces
    assert trace.text == "<think>\nI should think about this. </think>\n\nNo."
    assert trace.finish_reason is FinishReason.CONTENT_FILTER
    assert output[0, -1].item() == tiny_tokenizer().eos_token_id
    assert trace.tokens.authors[-1] is Author.INJECTED


def test_interventions_go_on_until_the_budget_is_spent() -> None:
    class Stubborn(LogitsProcessor):
        """Says the cue again after every trigger."""

        ids = tiny_tokenizer().encode(" The plan is to mix. ")

        def __call__(self, input_ids: Any, scores: Any) -> Any:
            said = input_ids.shape[1] - length
            forced = torch.full_like(scores, -torch.inf)
            forced[:, self.ids[said % len(self.ids)]] = 0.0
            return forced

    inputs = prompts()
    length = inputs["input_ids"].shape[1]
    guard = guarded(max_answer_interventions=2, refusals=("No.",))
    guard.generate(**inputs, **GREEDY, logits_processor=[Stubborn()], max_new_tokens=200)
    [trace] = guard.last_traces
    assert [each.trigger_id for each in trace.interventions] == ["b", "b", None]
    assert trace.finish_reason is FinishReason.CONTENT_FILTER
    assert "mix" not in trace.text


def test_audit_changes_nothing() -> None:
    guard, inputs = guarded(policy="audit"), prompts(PROMPT, "I")
    options = {**GREEDY, **script(inputs), "max_new_tokens": 40}
    assert torch.equal(
        guard.generate(**inputs, **options), guard.model.generate(**inputs, **options)
    )
    assert {trace.action for trace in guard.last_traces} == {Action.AUDIT}


def test_an_error_on_the_way_is_raised_and_the_trace_recorded() -> None:
    class Breaks(LogitsProcessor):
        def __call__(self, input_ids: Any, scores: Any) -> Any:
            if input_ids.shape[1] > length + 4:
                raise RuntimeError("out of order")
            return scores

    inputs, traces = prompts(), []
    length = inputs["input_ids"].shape[1]
    guard = guarded()
    guard.guard.record = traces.append
    with pytest.raises(RuntimeError, match="out of order"):
        guard.generate(**inputs, **GREEDY, logits_processor=[Breaks()], max_new_tokens=20)
    assert [trace.finish_reason for trace in traces] == [FinishReason.ERROR]
    assert guard.last_traces == tuple(traces)


def test_a_detector_that_fails_ends_with_a_refusal_in_its_row_only() -> None:
    inputs = prompts(PROMPT, "I")
    detector = WordDetector(raise_on="plan")
    guard = GuardedModel(tiny_model("qwen3"), tiny_tokenizer(), detector=detector, triggers=POOL)
    guard.generate(**inputs, **GREEDY, **script(inputs, rows={0}), max_new_tokens=60)
    failed, other = guard.last_traces
    assert failed.finish_reason is FinishReason.CONTENT_FILTER
    assert failed.failures and "plan" not in failed.text
    assert other.action is Action.ALLOW and not other.failures
