"""How far a trained model has left its base, position by position.

KL(base || model) over the whole vocabulary at every generated position of the base's own traces,
exact, not sampled. Rising values on harmless traces are the first sign that triggers get into
reasoning where nothing calls for one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

BIN_TOKENS = 32
"""Positions that are averaged together in the profile."""

_TOKENS_AT_ONCE = 4096


@dataclass(frozen=True, slots=True)
class Divergence:
    """Mean divergence in nats a token."""

    mean: float | None
    """Over all positions, None without any."""

    by_position: tuple[float, ...] = ()
    """Means over bins of `BIN_TOKENS` generated positions, from the first on."""


@torch.no_grad()
def divergence(
    base: Any, model: Any, sequences: Sequence[tuple[Sequence[int], Sequence[int]]]
) -> Divergence:
    """Over (prompt ids, generated ids) of traces that `base` wrote."""
    totals: list[float] = []
    counts: list[int] = []
    ordered = sorted((s for s in sequences if len(s[1])), key=lambda s: len(s[0]) + len(s[1]))
    start = 0
    while start < len(ordered):
        rows = [ordered[start]]
        while start + len(rows) < len(ordered):
            following = ordered[start + len(rows)]
            if (len(rows) + 1) * (len(following[0]) + len(following[1])) > _TOKENS_AT_ONCE:
                break
            rows.append(following)
        start += len(rows)
        for values in _batch(base, model, rows):
            for position, value in enumerate(values):
                bin_index = position // BIN_TOKENS
                while bin_index >= len(totals):
                    totals.append(0.0)
                    counts.append(0)
                totals[bin_index] += value
                counts[bin_index] += 1
    if not counts:
        return Divergence(None)
    profile = tuple(total / count for total, count in zip(totals, counts, strict=True))
    return Divergence(sum(totals) / sum(counts), profile)


def _batch(
    base: Any, model: Any, rows: Sequence[tuple[Sequence[int], Sequence[int]]]
) -> list[list[float]]:
    width = max(len(prompt) + len(own) for prompt, own in rows)
    ids = torch.zeros((len(rows), width), dtype=torch.long)
    mask = torch.zeros_like(ids)
    for index, (prompt, own) in enumerate(rows):
        ids[index, : len(prompt) + len(own)] = torch.tensor([*prompt, *own])
        mask[index, : len(prompt) + len(own)] = 1
    logps = []
    for each in (base, model):
        given = {"input_ids": ids.to(each.device), "attention_mask": mask.to(each.device)}
        logps.append(each(**given, use_cache=False).logits.float().log_softmax(-1).cpu())
    before, after = logps
    kl = (before.exp() * (before - after)).sum(-1)
    return [
        kl[index, len(prompt) - 1 : len(prompt) + len(own) - 1].clamp(min=0).tolist()
        for index, (prompt, own) in enumerate(rows)
    ]
