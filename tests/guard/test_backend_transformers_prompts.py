"""What the detector is told of a prompt, and real tokenizers behind the guard."""

from functools import cache
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from fakes import WordDetector  # noqa: E402
from tiny_guarded import MESSAGES, OPTIONS, POOL  # noqa: E402
from tiny_models import tiny_model, tiny_tokenizer  # noqa: E402
from transformers import AutoTokenizer, LogitsProcessor  # noqa: E402

from rerail.guard import (  # noqa: E402
    Channel,
    GuardedModel,
)

pytestmark = pytest.mark.usefixtures("one_thread")


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
