"""Batched generation with a Hugging Face model, seeded.

Rows that have ended leave the batch, which a library's `generate` does not do: on a processor core
most of the time goes into carrying the cache along.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel, PreTrainedTokenizerBase

TOP_P = 0.95
"""Tokens are drawn from the most likely ones that make up this share."""

_BATCH = 64
"""Rows at once."""


def prompt_ids(
    tokenizer: PreTrainedTokenizerBase,
    messages: Sequence[dict[str, str]],
    tools: Sequence[dict[str, Any]] = (),
) -> list[int]:
    """The ids of a conversation up to and with the opened think tag."""
    text = tokenizer.apply_chat_template(
        list(messages), tools=[*tools] or None, add_generation_prompt=True, tokenize=False
    )
    assert isinstance(text, str)
    return tokenizer(text, add_special_tokens=False)["input_ids"]


def complete(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    inputs: Sequence[list[int]],
    *,
    temperature: float = 0.7,
    max_new_tokens: int = 480,
    seed: int = 0,
) -> list[str]:
    """One completion for each list of ids, without its end token; greedy at temperature 0."""
    order = sorted(range(len(inputs)), key=lambda index: len(inputs[index]))
    generator = torch.Generator().manual_seed(seed)
    results = [""] * len(inputs)
    end = tokenizer.get_vocab()[str(tokenizer.eos_token)]
    for start in range(0, len(order), _BATCH):
        chosen = order[start : start + _BATCH]
        batch = [inputs[index] for index in chosen]
        written = _generate(model, batch, end, temperature, max_new_tokens, generator)
        texts = tokenizer.batch_decode(written, skip_special_tokens=True)
        for index, text in zip(chosen, texts, strict=True):
            results[index] = text
    return results


@torch.no_grad()
def _generate(
    model: PreTrainedModel,
    batch: list[list[int]],
    end: int,
    temperature: float,
    max_new_tokens: int,
    generator: torch.Generator,
) -> list[list[int]]:
    width = max(map(len, batch))
    ids = torch.tensor([[end] * (width - len(row)) + row for row in batch])
    mask = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in batch])
    positions = (mask.cumsum(1) - 1).clamp(min=0)
    cache, rows = DynamicCache(), list(range(len(batch)))
    written: list[list[int]] = [[] for _ in batch]
    for _ in range(max_new_tokens):
        logits = model(
            input_ids=ids,
            attention_mask=mask,
            position_ids=positions,
            past_key_values=cache,
            logits_to_keep=1,
        ).logits[:, -1]
        chosen = _choose(logits, temperature, generator)
        for row, token in zip(rows, chosen.tolist(), strict=True):
            if token != end:
                written[row].append(token)
        alive = (chosen != end).nonzero().flatten()
        if not len(alive):
            break
        if len(alive) < len(rows):
            cache.batch_select_indices(alive)
            rows = [rows[index] for index in alive.tolist()]
        ids, mask = chosen[alive, None], mask[alive]
        positions = mask.sum(1, keepdim=True)
        mask = torch.cat([mask, torch.ones_like(ids)], dim=1)
    return written


def _choose(logits: Tensor, temperature: float, generator: torch.Generator) -> Tensor:
    """One token a row, from the most likely ones that make up `TOP_P`."""
    if not temperature:
        return logits.argmax(-1)
    shares, order = (logits / temperature).softmax(-1).sort(descending=True)
    shares[shares.cumsum(-1) - shares > TOP_P] = 0
    return order.gather(1, shares.multinomial(1, generator=generator)).squeeze(1)
