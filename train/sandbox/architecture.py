"""The sandbox model: Qwen3's architecture in the small."""

from dataclasses import dataclass

import torch
from transformers import Qwen3Config, Qwen3ForCausalLM


@dataclass(frozen=True, slots=True)
class Shape:
    """The model's size."""

    vocabulary: int = 1536
    hidden: int = 128
    layers: int = 5
    heads: int = 4
    intermediate: int = 320
    context: int = 1024

    def __post_init__(self) -> None:
        if self.hidden % self.heads:
            raise ValueError(f"hidden {self.hidden} must be a multiple of heads {self.heads}")


def new_model(shape: Shape, tokenizer_ids: dict[str, int], seed: int) -> Qwen3ForCausalLM:
    """A freshly initialised model; `tokenizer_ids` names pad, bos and eos."""
    torch.manual_seed(seed)
    config = Qwen3Config(
        vocab_size=shape.vocabulary,
        hidden_size=shape.hidden,
        intermediate_size=shape.intermediate,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.heads,
        head_dim=shape.hidden // shape.heads,
        max_position_embeddings=shape.context,
        rope_parameters={"rope_type": "default", "rope_theta": 10000.0},
        tie_word_embeddings=True,
        initializer_range=0.02,
        pad_token_id=tokenizer_ids["pad"],
        bos_token_id=tokenizer_ids["bos"],
        eos_token_id=tokenizer_ids["eos"],
    )
    return Qwen3ForCausalLM(config)
