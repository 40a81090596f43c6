"""`GuardedModel.generate` against `model.generate`, over small models with random weights."""

import threading
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from fakes import WordDetector  # noqa: E402
from tiny_models import CONFIGS, Script, tiny_model, tiny_tokenizer  # noqa: E402
from transformers import (  # noqa: E402
    DynamicCache,
    GenerationConfig,
    LogitsProcessor,
    MaxLengthCriteria,
    StoppingCriteriaList,
    TextIteratorStreamer,
    TextStreamer,
)
from transformers.generation.stopping_criteria import StoppingCriteria  # noqa: E402

from rerail.guard import (  # noqa: E402
    Action,
    Author,
    FinishReason,
    GuardConfig,
    GuardedModel,
    Trace,
    Trigger,
    TriggerKind,
    TriggerPool,
)

CUE = "<think>\nI should think about this. The plan is to mix the things, then to wait. All"
KEPT = "<think>\nI should think about this. Wait, stop here."
PROMPT = "How do I end a process?"
KINDS = list(CONFIGS)
POOL = TriggerPool(
    [
        Trigger("a", "Wait, stop here.", TriggerKind.RISK),
        Trigger("b", "Wait, stop here.", TriggerKind.RISK, in_answer=True),
    ]
)
GREEDY: dict[str, Any] = {"do_sample": False}
SAMPLED: dict[str, Any] = {"do_sample": True, "temperature": 1.3, "top_p": 0.95}


pytestmark = pytest.mark.usefixtures("one_thread")


def guarded(
    kind: str = "qwen3", words: tuple[str, ...] = ("is to mix",), **settings: Any
) -> GuardedModel:
    detector = WordDetector(at_end=words)
    return GuardedModel(
        tiny_model(kind), tiny_tokenizer(), detector=detector, triggers=POOL, **settings
    )


def prompts(*texts: str) -> dict[str, Any]:
    return dict(tiny_tokenizer()(list(texts or (PROMPT,)), return_tensors="pt", padding=True))


def script(inputs: dict[str, Any], text: str = CUE, rows: set[int] | None = None) -> dict[str, Any]:
    return {"logits_processor": [Script(text, inputs["input_ids"].shape[1], rows)]}


def seeded(seed: int, generate: Any, *args: Any, **kwargs: Any) -> Any:
    torch.manual_seed(seed)
    return generate(*args, **kwargs)


def continued_from(trace: Trace) -> list[int]:
    """Prompt and kept tokens up to and with the last ones injected."""
    last = trace.interventions[-1]
    return list(trace.ids[: len(trace.prompt_ids) + last.keep + last.num_injected])


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


# -- the options of generate --------------------------------------------------------------------


class StopAfter(StoppingCriteria):
    """Ends row 0 after `count` new tokens, and counts how often it is asked."""

    def __init__(self, count: int) -> None:
        self.count, self.num_calls = count, 0

    def __call__(self, input_ids: Any, scores: Any, **kwargs: Any) -> Any:
        self.num_calls += 1
        done = torch.zeros(input_ids.shape[0], dtype=torch.bool)
        done[0] = self.num_calls >= self.count
        return done


@pytest.mark.parametrize("rows", [1, 2])
def test_custom_criteria_are_asked_once_a_step_and_honoured(rows: int) -> None:
    guard, inputs = guarded(), prompts(*[PROMPT, "I"][:rows])
    mine, alone = StopAfter(5), StopAfter(5)
    options = {**GREEDY, "max_new_tokens": 12}
    output = guard.generate(**inputs, **options, stopping_criteria=StoppingCriteriaList([mine]))
    expected = guard.model.generate(**inputs, **options, stopping_criteria=[alone])
    assert torch.equal(output, expected)
    assert mine.num_calls == alone.num_calls
    assert guard.last_traces[0].finish_reason is FinishReason.STOP
    assert len(guard.last_traces[0].tokens) == 5


def test_stop_strings_end_a_row_and_need_no_tokenizer() -> None:
    guard, inputs = guarded(), prompts(PROMPT, "I")
    options = {**GREEDY, **script(inputs, "All is well here. Nothing to see.", {0})}
    options |= {"max_new_tokens": 20, "stop_strings": ["Nothing"]}
    output = guard.generate(**inputs, **options)
    expected = guard.model.generate(**inputs, **options, tokenizer=tiny_tokenizer())
    assert torch.equal(output, expected)
    assert guard.last_traces[0].text == "All is well here. Nothing"
    assert guard.last_traces[0].finish_reason is FinishReason.STOP


def test_without_an_end_token_rows_go_on_and_are_read() -> None:
    """`generate` then samples on in rows that a criterion ended: that text is guarded too."""
    guard, inputs = guarded(), prompts(PROMPT, "I")
    config = GenerationConfig(max_new_tokens=10, do_sample=False, eos_token_id=[])
    output = guard.generate(**inputs, generation_config=config, stopping_criteria=[StopAfter(3)])
    expected = guard.model.generate(
        **inputs, generation_config=config, stopping_criteria=[StopAfter(3)]
    )
    assert torch.equal(output, expected)
    assert [len(trace.tokens) for trace in guard.last_traces] == [10, 10]


def test_a_length_criterion_of_the_caller_counts_from_the_first_prompt() -> None:
    guard, inputs = guarded(), prompts()
    length = inputs["input_ids"].shape[1] + 40
    criteria = [MaxLengthCriteria(max_length=length)]
    options = {**GREEDY, **script(inputs), "max_new_tokens": 90, "stopping_criteria": criteria}
    assert guard.generate(**inputs, **options).shape[1] == length
    assert guard.last_traces[0].action is Action.INTERVENE


def test_a_minimum_of_new_tokens_counts_the_kept_ones() -> None:
    class AlwaysEnd(LogitsProcessor):
        """Wants to end as soon as the trigger has been read."""

        def __call__(self, input_ids: Any, scores: Any) -> Any:
            scores = scores.clone()
            scores[:, tiny_tokenizer().eos_token_id] += 1000.0
            return scores

    guard, inputs = guarded(), prompts(PROMPT, "I")
    options = {**GREEDY, "max_new_tokens": 90}
    options["logits_processor"] = [AlwaysEnd(), *script(inputs)["logits_processor"]]
    guard.generate(**inputs, **options, min_new_tokens=45)
    assert [len(trace.tokens) for trace in guard.last_traces] == [46, 46]
    assert {trace.action for trace in guard.last_traces} == {Action.INTERVENE}


def test_allowed_tokens_are_asked_for_by_the_row_of_the_call() -> None:
    inputs = prompts(PROMPT, "I")
    every = list(range(tiny_model("qwen3").config.vocab_size))
    asked: set[int] = set()

    def allowed(row: int, ids: Any) -> list[int]:
        asked.add(row)
        return every

    guard = guarded()
    options = {**GREEDY, **script(inputs, rows={1}), "max_new_tokens": 50}
    guard.generate(**inputs, **options, prefix_allowed_tokens_fn=allowed)
    assert guard.last_traces[1].action is Action.INTERVENE
    assert asked == {0, 1}
    asked.clear()
    guard.generate(**inputs, **options, prefix_allowed_tokens_fn=lambda row, ids: every)


def test_a_generation_config_is_used_and_left_as_it_was() -> None:
    guard, inputs = guarded(), prompts()
    config = GenerationConfig(max_new_tokens=40, do_sample=False, repetition_penalty=1.2)
    before = config.to_dict()
    options = script(inputs)
    guard.generate(**inputs, generation_config=config, **options)
    [trace] = guard.last_traces
    ids = torch.tensor([continued_from(trace)])
    room = inputs["input_ids"].shape[1] + 40 - ids.shape[1]
    cold = tiny_model("qwen3").generate(
        ids, max_new_tokens=room, do_sample=False, repetition_penalty=1.2
    )
    assert cold[0].tolist() == list(trace.ids)
    assert config.to_dict() == before


def test_a_record_has_the_same_type_and_no_scores_for_injected_tokens() -> None:
    guard, inputs = guarded(), prompts(PROMPT, "I")
    options = {**GREEDY, **script(inputs, rows={0}), "max_new_tokens": 60, "output_scores": True}
    options |= {"return_dict_in_generate": True, "output_logits": True}
    output = guard.generate(**inputs, **options)
    alone = guard.model.generate(**inputs, **options)
    assert type(output) is type(alone)
    width = inputs["input_ids"].shape[1]
    assert len(output.scores) == len(output.logits) == output.sequences.shape[1] - width
    authors = guard.last_traces[0].tokens.authors
    for step, author in enumerate(authors):
        scores = output.scores[step][0]
        if author is Author.INJECTED:
            assert bool(scores.isnan().all())
        else:
            assert scores.argmax().item() == output.sequences[0, width + step].item()
    for step in range(len(guard.last_traces[1].tokens)):
        assert torch.equal(output.scores[step][1], alone.scores[step][1])


def test_the_cache_in_a_record_goes_with_its_ids_or_is_not_there() -> None:
    guard, inputs = guarded(), prompts()
    options = {**GREEDY, **script(inputs), "return_dict_in_generate": True, "max_new_tokens": 60}
    output = guard.generate(**inputs, **options)
    assert output.past_key_values.get_seq_length() == output.sequences.shape[1] - 1
    refused = guarded(policy="block").generate(**inputs, **options)
    assert refused.past_key_values is None


@pytest.mark.parametrize("kind", ["qwen3", "gemma3"])
def test_a_cache_of_the_caller_holds_the_kept_tokens_afterwards(kind: str) -> None:
    guard, inputs = guarded(kind), prompts()
    cache = DynamicCache(config=guard.model.config)
    options = {**GREEDY, **script(inputs), "max_new_tokens": 60}
    output = guard.generate(**inputs, **options, past_key_values=cache)
    assert cache.get_seq_length() == output.shape[1] - 1
    longer = torch.cat([output, torch.tensor([[5]])], dim=1)
    again = guard.model.generate(longer, past_key_values=cache, max_new_tokens=5, **GREEDY)
    assert torch.equal(again, guard.model.generate(longer, max_new_tokens=5, **GREEDY))


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"num_beams": 2}, "beam search"),
        ({"num_beams": 2, "do_sample": True}, "beam sampling"),
        ({"prompt_lookup_num_tokens": 2}, "assisted"),
        ({"custom_generate": lambda model, input_ids, **_: input_ids}, "custom_generate"),
        ({"synced_gpus": True}, "synced_gpus"),
        ({"output_attentions": True, "return_dict_in_generate": True}, "output_attentions"),
        ({"output_hidden_states": True, "return_dict_in_generate": True}, "output_hidden_states"),
        ({"guidance_scale": 1.5}, "guidance_scale"),
        ({"inputs_embeds": torch.zeros(1, 3, 32)}, "inputs_embeds"),
        ({"position_ids": torch.zeros(1, 9, dtype=torch.long)}, "position_ids"),
        ({"attention_mask": torch.ones(1, 2, dtype=torch.long)}, "attention_mask"),
        ({"no_such_option": 3}, "no_such_option"),
    ],
)
def test_what_cannot_be_honoured_raises_and_says_so(options: dict[str, Any], word: str) -> None:
    guard, traces = guarded(), []
    guard.guard.record = traces.append
    with pytest.raises(ValueError, match=word):
        guard.generate(**{**prompts(), "max_new_tokens": 5, **options})
    assert traces == []


def test_an_empty_prompt_raises() -> None:
    with pytest.raises(ValueError, match="prompt is empty"):
        guarded().generate(max_new_tokens=5)
    with pytest.raises(ValueError, match="prompt is empty"):
        guarded().generate(torch.zeros(1, 0, dtype=torch.long), max_new_tokens=5)


# -- streamers ------------------------------------------------------------------------------------


class Recording(TextStreamer):
    """Records the ids put, and whether the end was told."""

    def __init__(self) -> None:
        self.put_ids: list[list[int]] = []
        self.ended = 0

    def put(self, value: Any) -> None:
        self.put_ids.append(value.flatten().tolist())

    def end(self) -> None:
        self.ended += 1


def test_a_streamer_gets_what_is_released_and_never_what_is_taken_out() -> None:
    guard, inputs, streamer = guarded(), prompts(), Recording()
    options = {**GREEDY, **script(inputs), "max_new_tokens": 60}
    output = guard.generate(**inputs, **options, streamer=streamer)
    assert streamer.put_ids[0] == inputs["input_ids"][0].tolist()
    assert all(len(ids) == 1 for ids in streamer.put_ids[1:])
    assert [each for ids in streamer.put_ids for each in ids] == output[0].tolist()
    assert streamer.ended == 1


def test_a_text_iterator_streamer_gives_the_text_in_another_thread() -> None:
    guard, inputs = guarded(), prompts()
    streamer = TextIteratorStreamer(tiny_tokenizer(), skip_prompt=True, timeout=60)
    options = {**inputs, **GREEDY, **script(inputs), "max_new_tokens": 60, "streamer": streamer}
    worker = threading.Thread(target=guard.generate, kwargs=options)
    worker.start()
    text = "".join(streamer)
    worker.join()
    [trace] = guard.last_traces
    assert text == tiny_tokenizer().decode(trace.tokens.known_ids())


def test_a_streamer_is_refused_where_it_would_lie() -> None:
    options = {**GREEDY, "max_new_tokens": 5, "streamer": Recording()}
    with pytest.raises(ValueError, match="one sequence"):
        guarded().generate(**prompts(PROMPT, "I"), **options)
    with pytest.raises(ValueError, match="take text back"):
        guarded(config=GuardConfig(hold="none")).generate(**prompts(), **options)


# -- errors ---------------------------------------------------------------------------------------


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
