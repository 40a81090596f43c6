"""Small models with random weights, and a tokenizer trained on a few sentences, for the tests."""

from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    AutoModelForCausalLM,
    Gemma3TextConfig,
    LlamaConfig,
    LogitsProcessor,
    MambaConfig,
    PreTrainedTokenizerFast,
    Qwen3Config,
    Qwen3NextConfig,
)

SENTENCES = [
    "All is well here. Nothing to see, and nothing to do.",
    "I should think about this. The plan is to mix the things, then to wait.",
    "Wait, this could hurt someone. Let me stop here and think again!\n\nNo.",
    "The answer is four. How do I end a process? Grüße, 你好, 😀.",
]
TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}"
    "<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]


@cache
def tiny_tokenizer() -> Any:
    """Byte-level, as Qwen's and Llama 3's are, with think tags and a chat template."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=SPECIAL,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(SENTENCES * 4, trainer)
    tokenizer.add_tokens(["<think>", "</think>"])
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="<|im_end|>", pad_token="<|endoftext|>"
    )
    fast.chat_template = TEMPLATE
    fast.padding_side = "left"
    return fast


MAMBA_SIZES = ("vocab_size", "hidden_size", "eos_token_id", "pad_token_id", "bos_token_id")


def _size() -> dict[str, Any]:
    tokenizer = tiny_tokenizer()
    return {
        "vocab_size": len(tokenizer),
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 8,
        "max_position_embeddings": 512,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
        "bos_token_id": None,
        "initializer_range": 0.3,
    }


CONFIGS: dict[str, Callable[[], Any]] = {
    "qwen3": lambda: Qwen3Config(**_size()),
    "llama": lambda: LlamaConfig(**_size()),
    "gemma3": lambda: Gemma3TextConfig(
        **_size(), sliding_window=12, layer_types=["sliding_attention", "full_attention"]
    ),
    "qwen3_next": lambda: Qwen3NextConfig(
        **_size(),
        layer_types=["linear_attention", "full_attention"],
        linear_num_key_heads=2,
        linear_num_value_heads=2,
        linear_key_head_dim=8,
        linear_value_head_dim=8,
        num_experts=0,
    ),
    "mamba": lambda: MambaConfig(
        **{name: _size()[name] for name in MAMBA_SIZES}, state_size=4, num_hidden_layers=2
    ),
}
"""Full attention; sliding windows; linear attention and state spaces, whose caches cannot be
cropped."""


@cache
def tiny_model(name: str) -> Any:
    """One model of each kind; shared, so tests must leave it as it is."""
    torch.manual_seed(7)
    model = AutoModelForCausalLM.from_config(CONFIGS[name]()).eval()
    model.generation_config.eos_token_id = tiny_tokenizer().eos_token_id
    model.generation_config.pad_token_id = tiny_tokenizer().pad_token_id
    return model


class Script(LogitsProcessor):
    """Makes the model say `text` at first, in rows whose index is in `rows` (all by default).

    Where a row stands is told by the ids after the prompt, so a resumed run goes on by itself: the
    script is said only as long as everything so far was said by it.
    """

    def __init__(self, text: str, prompt_length: int, rows: set[int] | None = None) -> None:
        self.ids = tiny_tokenizer().encode(text, add_special_tokens=False)
        self._prompt_length = prompt_length
        self._rows = rows

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        scores = scores.clone()
        for row, ids in enumerate(input_ids.tolist()):
            said = ids[self._prompt_length :]
            wanted = self._rows is None or row in self._rows
            if wanted and len(said) < len(self.ids) and said == self.ids[: len(said)]:
                scores[row, :] = -torch.inf
                scores[row, self.ids[len(said)]] = 0.0
        return scores
