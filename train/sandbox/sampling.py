"""Batched generation with a Hugging Face model, seeded."""

from collections.abc import Sequence

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase


def prompt_ids(
    tokenizer: PreTrainedTokenizerBase, messages: Sequence[dict[str, str]], tools: Sequence = ()
) -> list[int]:
    """The ids of a conversation up to and with the opened think tag."""
    text = tokenizer.apply_chat_template(
        list(messages), tools=list(tools) or None, add_generation_prompt=True, tokenize=False
    )
    assert isinstance(text, str)
    return tokenizer(text, add_special_tokens=False)["input_ids"]


@torch.no_grad()
def complete(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    inputs: Sequence[list[int]],
    *,
    temperature: float = 0.7,
    max_new_tokens: int = 480,
    seed: int = 0,
    batch_size: int = 256,
) -> list[str]:
    """One completion for each list of ids; greedy at temperature 0."""
    order = sorted(range(len(inputs)), key=lambda index: len(inputs[index]))
    results = [""] * len(inputs)
    pad = tokenizer.pad_token_id
    sampling = {"temperature": temperature, "top_p": 0.95} if temperature else {}
    torch.manual_seed(seed)
    for start in range(0, len(order), batch_size):
        chosen = order[start : start + batch_size]
        width = max(len(inputs[index]) for index in chosen)
        ids = torch.full((len(chosen), width), pad)
        mask = torch.zeros_like(ids)
        for row, index in enumerate(chosen):
            ids[row, width - len(inputs[index]) :] = torch.tensor(inputs[index])
            mask[row, width - len(inputs[index]) :] = 1
        output = model.generate(
            input_ids=ids,
            attention_mask=mask,
            do_sample=bool(temperature),
            max_new_tokens=max_new_tokens,
            **sampling,
        )
        texts = tokenizer.batch_decode(output[:, width:], skip_special_tokens=True)
        for index, text in zip(chosen, texts, strict=True):
            results[index] = text
    return results
