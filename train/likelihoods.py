"""How likely a model is to go on with one of a few tokens, for many rows that share beginnings.

The rows of a group are questions about the same steps, each with one step more than the one before:
their common beginning is read once and its cache lent to all of them, so a question costs its tail.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor
from transformers import DynamicCache

from ..guard.shared_start import num_shared
from .cached_forward import next_logits, padded, positions

Rows = Sequence[tuple[int, ...]]
"""Token ids, one tuple a row."""


class Likelihoods(Protocol):
    """A model that says how likely it goes on how."""

    def shares(
        self, groups: Sequence[Rows], choices: Sequence[Sequence[int]]
    ) -> list[list[tuple[float, ...]]]:
        """For each row of each group the probability that its next token is in each choice."""
        ...


class TransformersLikelihoods:
    """A causal language model, loaded."""

    def __init__(self, model: Any, *, rows_at_once: int = 128) -> None:
        """`rows_at_once` rows have a copy of their group's cache at once, as the memory allows."""
        self.model = model
        self._rows_at_once = rows_at_once

    @torch.no_grad()
    def shares(
        self, groups: Sequence[Rows], choices: Sequence[Sequence[int]]
    ) -> list[list[tuple[float, ...]]]:
        """See `Likelihoods`."""
        training = self.model.training
        self.model.eval()
        try:
            found: list[list[tuple[float, ...]]] = []
            for lot in self._lots(groups):
                rows = self._of_lot(lot, choices) if any(lot) else []
                for group in lot:
                    found.append(rows[: len(group)])
                    rows = rows[len(group) :]
        finally:
            self.model.train(training)
        return found

    def _lots(self, groups: Sequence[Rows]) -> Iterator[list[Rows]]:
        lot: list[Rows] = []
        for group in groups:
            if lot and sum(map(len, lot)) + len(group) > self._rows_at_once:
                yield lot
                lot = []
            lot.append(group)
        if lot:
            yield lot

    def _of_lot(
        self, lot: Sequence[Rows], choices: Sequence[Sequence[int]]
    ) -> list[tuple[float, ...]]:
        device = self.model.device
        heads = [common_head(group) for group in lot if group]
        rows = [row for group in lot for row in group]
        owners = [owner for owner, group in enumerate(filter(None, lot)) for _ in group]
        if not all(heads):
            ids, mask = padded(rows, device)
            cache = DynamicCache(config=self.model.config)
            logits = next_logits(self.model, ids, mask, positions(mask), cache)
            return _summed(logits, choices)
        cache = DynamicCache(config=self.model.config)
        ids, head_mask = padded(heads, device)
        next_logits(self.model, ids, head_mask, positions(head_mask), cache)
        cache.batch_select_indices(torch.tensor(owners, device=device))
        lent = [
            min(num_shared(row, heads[owner]), len(row) - 1)
            for row, owner in zip(rows, owners, strict=True)
        ]
        width = head_mask.shape[1]
        mask = torch.zeros(len(rows), width, dtype=torch.long, device=device)
        for number, (owner, length) in enumerate(zip(owners, lent, strict=True)):
            start = width - len(heads[owner])
            mask[number, start : start + length] = 1
        tails = [row[length:] for row, length in zip(rows, lent, strict=True)]
        ids, tail_mask = padded(tails, device)
        mask = torch.cat([mask, tail_mask], dim=1)
        places = positions(mask)[:, width:]
        return _summed(next_logits(self.model, ids, mask, places, cache), choices)


def common_head(rows: Rows) -> tuple[int, ...]:
    """What is worth reading once: the part of the last row that reaches as far as any other row
    agrees with it. Tokens are compared, so no boundary between texts has to be trusted."""
    last = rows[-1]
    if len(rows) == 1:
        return last[:-1]
    return last[: min(max(num_shared(row, last) for row in rows[:-1]), len(last) - 1)]


def _summed(logits: Tensor, choices: Sequence[Sequence[int]]) -> list[tuple[float, ...]]:
    shares = logits.float().softmax(-1)
    columns = [shares[:, list(ids)].sum(-1).tolist() for ids in choices]
    return list(zip(*columns, strict=True))
