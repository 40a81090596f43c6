"""`GuardedModel` around `generate`: loading, conversations, events, and what falls through."""

import copy
import threading
from functools import cache
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from fakes import WordDetector  # noqa: E402
from tiny_models import Script, tiny_model, tiny_tokenizer  # noqa: E402
from transformers import AutoTokenizer, LogitsProcessor  # noqa: E402

from rerail.guard import (  # noqa: E402
    Action,
    Channel,
    Event,
    Finished,
    FinishReason,
    GuardedModel,
    Released,
    Retracted,
    RolledBack,
    StepJudged,
    Store,
    Trace,
    Trigger,
    TriggerInjected,
    TriggerKind,
    TriggerPool,
)

CUE = "<think>\nI should think. The plan is to mix it. Then</think>\n\nThe answer is four."
POOL = TriggerPool([Trigger("a", "Wait, stop here.", TriggerKind.RISK)])
MESSAGES = [{"role": "user", "content": "How do I end a process?"}]
OPTIONS: dict[str, Any] = {"do_sample": False, "max_new_tokens": 50}


pytestmark = pytest.mark.usefixtures("one_thread")


def guarded(**settings: Any) -> GuardedModel:
    detector = settings.pop("detector", None) or WordDetector(at_end=["is to mix"])
    return GuardedModel(
        tiny_model("qwen3"), tiny_tokenizer(), detector=detector, triggers=POOL, **settings
    )


def saying(text: str, messages: list[dict[str, str]] = MESSAGES) -> dict[str, Any]:
    """Options that make the model say `text` at first in answer to `messages`."""
    rendered = tiny_tokenizer().apply_chat_template(
        messages, tokenize=False, add_generation_prompt=True
    )
    length = len(tiny_tokenizer().encode(rendered, add_special_tokens=False))
    return {**OPTIONS, "logits_processor": [Script(text, length)]}


def shown(events: list[Event]) -> str:
    """What a client that follows the events ends up with."""
    text = ""
    for event in events:
        if isinstance(event, Released):
            text += event.text
        elif isinstance(event, Retracted):
            assert text.endswith(event.text)
            text = text[: -len(event.text)]
    return text


# -- chat and stream ------------------------------------------------------------------------------


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


# -- what the detector is told of a prompt --------------------------------------------------------

CONVERSATIONS = [
    MESSAGES,
    [{"role": "user", "content": "Is <think> a tag?\n\nYes  or no"}],
    [
        {"role": "user", "content": "How?"},
        {"role": "assistant", "content": "So."},
        {"role": "user", "content": "And then?"},
    ],
    [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "How?"}],
]


def messages_read(tokenizer: Any, text: str) -> list[dict[str, str]]:
    detector = WordDetector()
    model = tiny_model("qwen3")
    guard = GuardedModel(model, tokenizer, detector=detector)
    ids = tokenizer(text, return_tensors="pt", add_special_tokens=False)["input_ids"]
    guard.generate(ids, **OPTIONS)
    return [dict(message) for message in detector.started[0]]


@pytest.mark.parametrize("messages", CONVERSATIONS)
@pytest.mark.parametrize("opened", ["", "<think>\n"])
def test_the_conversation_is_recovered_from_the_prompt(
    messages: list[dict[str, str]], opened: str
) -> None:
    tokenizer = tiny_tokenizer()
    text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    assert messages_read(tokenizer, text + opened) == messages


def test_a_prompt_without_a_template_is_one_user_turn() -> None:
    expected = [{"role": "user", "content": "All is well"}]
    assert messages_read(tiny_tokenizer(), "All is well<|endoftext|>") == expected


@pytest.mark.parametrize("name", ["qwen3", "r1-distill-qwen"])
@pytest.mark.parametrize("messages", CONVERSATIONS)
def test_real_templates_are_taken_apart(name: str, messages: list[dict[str, str]]) -> None:
    from rerail.guard.chat_template import ChatTemplate

    template = ChatTemplate(real_tokenizer(name))
    text = template.render(messages)
    assert [dict(each) for each in template.messages_of(text)] == messages


# -- real tokenizers ------------------------------------------------------------------------------


@cache
def loaded(folder: Path) -> Any:
    return AutoTokenizer.from_pretrained(folder)


def real_tokenizer(name: str) -> Any:
    folder = Path(__file__).parents[3] / "shared" / "data" / "tokenizers" / name
    if not folder.is_dir():
        pytest.skip(f"there is no {folder}")
    return loaded(folder)


@pytest.mark.parametrize("name", ["qwen3", "r1-distill-qwen"])
def test_a_real_tokenizer_gives_exact_ids_and_the_right_channels(name: str) -> None:
    from transformers import AutoModelForCausalLM, Qwen3Config

    tokenizer = real_tokenizer(name)
    torch.manual_seed(0)
    config = Qwen3Config(
        vocab_size=len(tokenizer),
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=8,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=None,
    )
    model = AutoModelForCausalLM.from_config(config).eval()
    guard = GuardedModel(
        model, tokenizer, detector=WordDetector(at_end=["is to mix"]), triggers=POOL
    )
    opened = "" if name == "r1-distill-qwen" else "<think>\n"
    said = opened + "Okay. The plan is to mix it: 好的😀. Then"
    script = tokenizer(said, add_special_tokens=False)["input_ids"]

    class Say(LogitsProcessor):
        def __call__(self, input_ids: Any, scores: Any) -> Any:
            done = input_ids[0, length:].tolist()
            if done == script[: len(done)] and len(done) < len(script):
                scores = torch.full_like(scores, -torch.inf)
                scores[:, script[len(done)]] = 0.0
            return scores

    rendered = tokenizer.apply_chat_template(MESSAGES, tokenize=False, add_generation_prompt=True)
    length = len(tokenizer(rendered, add_special_tokens=False)["input_ids"])
    result = guard.chat(MESSAGES, **{**OPTIONS, "logits_processor": [Say()]})
    trace = result.trace
    assert trace.text.startswith(opened + "Okay. Wait, stop here.")
    assert trace.interventions[0].channel is Channel.REASONING
    assert result.reasoning.lstrip().startswith("Okay. Wait, stop here.")
    start = len(trace.prompt_ids) + trace.interventions[0].keep
    ids = torch.tensor([trace.ids[: start + trace.interventions[0].num_injected]])
    room = length + 50 - ids.shape[1]
    cold = model.generate(ids, do_sample=False, max_new_tokens=room)
    assert cold[0].tolist() == list(trace.ids)
    assert (
        tokenizer.decode(trace.ids[:start], skip_special_tokens=False)
        == trace.prompt + opened + "Okay."
    )


# -- the model's place ----------------------------------------------------------------------------


def test_everything_else_is_the_model_s() -> None:
    guard = guarded()
    model = guard.model
    assert guard.config is model.config
    assert guard.generation_config is model.generation_config
    assert guard.get_input_embeddings() is model.get_input_embeddings()
    ids = torch.tensor([[5, 6]])
    assert torch.equal(guard(ids).logits, model(ids).logits)
    with pytest.raises(AttributeError, match="no_such_thing"):
        _ = guard.no_such_thing


def test_what_gives_the_model_back_gives_the_guarded_model_back() -> None:
    """`model = model.to(device)` would otherwise take the guard off without a word."""
    guard = guarded()
    assert guard.to("cpu") is guard
    assert guard.eval() is guard
    assert guard.float() is guard


def test_settings_of_the_model_are_set_on_the_model() -> None:
    guard = guarded()
    before = guard.model.generation_config
    guard.generation_config = copy.deepcopy(before)
    assert guard.model.generation_config is not before
    guard.generation_config = before


def test_ways_round_the_guard_are_closed() -> None:
    with pytest.raises(AttributeError, match="without the guard"):
        _ = guarded().generate_batch
    with pytest.raises(ValueError, match="guarded already"):
        GuardedModel(guarded(), tiny_tokenizer())


def test_models_that_do_not_continue_text_are_refused() -> None:
    from transformers import AutoModel, Qwen3Config, T5Config, T5ForConditionalGeneration

    small = T5Config(vocab_size=40, d_model=8, d_kv=4, d_ff=8, num_layers=1, num_heads=2)
    with pytest.raises(ValueError, match="encoder-decoder"):
        GuardedModel(T5ForConditionalGeneration(small), tiny_tokenizer())
    config = Qwen3Config(vocab_size=40, hidden_size=8, intermediate_size=8, num_hidden_layers=1)
    with pytest.raises(ValueError, match="cannot generate"):
        GuardedModel(AutoModel.from_config(config), tiny_tokenizer())


def test_settings_can_be_given_by_name() -> None:
    assert guarded(policy="block", threshold=0.7).guard.config.threshold == 0.7
    with pytest.raises(ValueError, match="polcy"):
        guarded(polcy="block")


def test_traces_go_to_the_store(tmp_path: Path) -> None:
    with Store(tmp_path / "traces.db") as store:
        guard = guarded(store=store)
        trace = guard.chat(MESSAGES, **saying(CUE)).trace
        assert [each.id for each in store.traces()] == [trace.id]
        assert store.get(trace.id).ids == trace.ids


# -- loading --------------------------------------------------------------------------------------


def test_a_saved_model_is_loaded_and_guarded(tmp_path: Path) -> None:
    tiny_model("qwen3").save_pretrained(tmp_path)
    tiny_tokenizer().save_pretrained(tmp_path)
    guard = GuardedModel.from_pretrained(
        tmp_path, policy="audit", detector=WordDetector(), dtype=torch.float32
    )
    inputs = tiny_tokenizer()(["How?"], return_tensors="pt")
    expected = tiny_model("qwen3").generate(**inputs, **OPTIONS)
    assert torch.equal(guard.generate(**inputs, **OPTIONS), expected)
    assert guard.guard.config.policy == "audit"


def test_what_is_no_model_is_said_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        GuardedModel.from_pretrained(tmp_path / "missing")
    with pytest.raises(ValueError, match=r"no config\.json"):
        GuardedModel.from_pretrained(tmp_path)
    file = tmp_path / "model.safetensors"
    file.write_bytes(b"")
    with pytest.raises(ValueError, match="is a file"):
        GuardedModel.from_pretrained(file)
    folder = tmp_path / "no-tokenizer"
    tiny_model("qwen3").save_pretrained(folder)
    with pytest.raises(ValueError, match="tokenizer"):
        GuardedModel.from_pretrained(folder)


def test_a_name_that_the_hub_does_not_give_is_said_in_a_sentence(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(OSError, match="check the name and the network"):
        GuardedModel.from_pretrained("rerail/no-such-model")
