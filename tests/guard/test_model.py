"""`GuardedModel` in the model's place: loading, settings, and what falls through."""

import copy
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from fakes import WordDetector  # noqa: E402
from tiny_guarded import MESSAGES, OPTIONS, guarded, saying  # noqa: E402
from tiny_models import tiny_model, tiny_tokenizer  # noqa: E402

from rerail.guard import (  # noqa: E402
    GuardedModel,
    Store,
)

CUE = "<think>\nI should think. The plan is to mix it. Then</think>\n\nThe answer is four."

pytestmark = pytest.mark.usefixtures("one_thread")


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
