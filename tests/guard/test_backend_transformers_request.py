"""The options of `GuardedModel.generate`: honoured as by the model itself, or refused."""

from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from tiny_guarded import GREEDY, PROMPT, continued_from, guarded, prompts, script  # noqa: E402
from tiny_models import tiny_model, tiny_tokenizer  # noqa: E402
from transformers import (  # noqa: E402
    DynamicCache,
    GenerationConfig,
    LogitsProcessor,
    MaxLengthCriteria,
    StoppingCriteriaList,
)
from transformers.generation.stopping_criteria import StoppingCriteria  # noqa: E402

from rerail.guard import (  # noqa: E402
    Action,
    Author,
    FinishReason,
)

pytestmark = pytest.mark.usefixtures("one_thread")


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
