"""From rows of token ids to tensors: the shared prefix once, with both sides after it, or twice.

In the shared layout a row is prefix[:-1], then for each side the prefix's last token and the side
without its last: that token predicts each side's first one and so stands there twice, at the same
position. A side sees the prefix and itself, never the other side: logits and gradients are those of
two separate rows. Nothing is appended: an end token is trained on where the ids hold one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .preference_config import Layout, PreferenceConfig
from .preference_loss import CHOSEN, REJECTED, SHARED

IGNORED = -100
"""A label that counts nothing."""

Row = Mapping[str, Any]
"""`prompt_ids`, `chosen_ids`, `rejected_ids`, and the reference's log-probabilities if known."""

Batch = dict[str, Tensor]
"""What the trainer's forward pass takes, by name."""


def takes_masks(model: Any) -> bool:
    """Whether the model's attention can be told by a mask what sees what, in every layer."""
    config = model.config.get_text_config()
    kinds = set(getattr(config, "layer_types", None) or ["full_attention"])
    attends = getattr(config, "num_attention_heads", None) is not None
    return attends and kinds == {"full_attention"} and _attention(config) in ("sdpa", "eager")


def layout_of(config: PreferenceConfig, model: Any) -> Layout:
    """The layout asked for, or the one that suits the model.

    Raises ValueError if the shared one is asked for and the model's attention cannot do it.
    """
    possible = takes_masks(model)
    if config.layout is Layout.SHARED and not possible:
        raise ValueError(
            "the shared layout needs full attention that takes a mask (sdpa or eager) in every "
            "layer: leave layout out, or set it to plain"
        )
    return config.layout or (Layout.SHARED if possible else Layout.PLAIN)


def _attention(config: Any) -> str:
    return getattr(config, "_attn_implementation", None) or "eager"


@dataclass(frozen=True, slots=True)
class PlainCollator:
    """Two rows a pair, all the chosen ones first: `input_ids`, `attention_mask`, `labels`,
    `branch`, each (2 * pairs, length)."""

    pad_token_id: int

    def __call__(self, rows: Sequence[Row]) -> Batch:
        sides = [(row, "chosen_ids", CHOSEN) for row in rows]
        sides += [(row, "rejected_ids", REJECTED) for row in rows]
        width = max(len(row["prompt_ids"]) + len(row[name]) for row, name, _ in sides)
        ids = torch.full((len(sides), width), self.pad_token_id)
        mask = torch.zeros_like(ids)
        labels = torch.full_like(ids, IGNORED)
        branch = torch.full_like(ids, SHARED)
        for index, (row, name, side) in enumerate(sides):
            prompt, own = row["prompt_ids"], row[name]
            length = len(prompt) + len(own)
            ids[index, :length] = torch.tensor([*prompt, *own])
            mask[index, :length] = 1
            labels[index, len(prompt) - 1 : length - 1] = torch.tensor(own, dtype=torch.long)
            branch[index, len(prompt) - 1 : length - 1] = side
        batch = {"input_ids": ids, "attention_mask": mask, "labels": labels, "branch": branch}
        return batch | _reference(rows)


@dataclass(frozen=True, slots=True)
class SharedCollator:
    """One row a pair: `input_ids`, `position_ids`, `labels`, `branch` (pairs, length) and the
    mask `attention_mask` (pairs, 1, length, length)."""

    pad_token_id: int
    boolean_mask: bool = True
    """True where it may look, as torch's own attention takes it; else 0 and minus infinity."""

    def __call__(self, rows: Sequence[Row]) -> Batch:
        width = max(map(shared_length, rows))
        shape = (len(rows), width)
        ids = torch.full(shape, self.pad_token_id)
        positions = torch.zeros(shape, dtype=torch.long)
        labels = torch.full(shape, IGNORED)
        branch = torch.full(shape, SHARED)
        owner = torch.full(shape, -1)
        for index, row in enumerate(rows):
            *prefix, last = row["prompt_ids"]
            start = len(prefix)
            ids[index, :start] = torch.tensor(prefix, dtype=torch.long)
            positions[index, :start] = torch.arange(start)
            owner[index, :start] = SHARED
            for side, name in ((CHOSEN, "chosen_ids"), (REJECTED, "rejected_ids")):
                own = row[name]
                if not len(own):
                    continue
                here = slice(start, start + len(own))
                ids[index, here] = torch.tensor([last, *own[:-1]])
                positions[index, here] = torch.arange(len(prefix), len(prefix) + len(own))
                labels[index, here] = torch.tensor(own)
                branch[index, here] = side
                owner[index, here] = side
                start = here.stop
        return {
            "input_ids": ids,
            "position_ids": positions,
            "attention_mask": self._mask(owner),
            "labels": labels,
            "branch": branch,
        } | _reference(rows)

    def _mask(self, owner: Tensor) -> Tensor:
        """Back to the prefix and to the own side; padding looks at itself alone."""
        width = owner.shape[1]
        before = torch.ones(width, width, dtype=torch.bool).tril()
        seen = owner[:, None, :]
        allowed = ((seen == SHARED) | (seen == owner[:, :, None])) & before & (seen >= 0)
        allowed |= torch.eye(width, dtype=torch.bool)
        if self.boolean_mask:
            return allowed[:, None]
        mask = torch.zeros(allowed.shape)
        return mask.masked_fill(~allowed, torch.finfo(mask.dtype).min)[:, None]


def shared_length(row: Row) -> int:
    """Positions that a pair takes in the shared layout."""
    return len(row["prompt_ids"]) - 1 + len(row["chosen_ids"]) + len(row["rejected_ids"])


def _reference(rows: Sequence[Row]) -> Batch:
    names = ("ref_chosen_logps", "ref_rejected_logps")
    if names[0] not in rows[0]:
        return {}
    return {name: torch.tensor([row[name] for row in rows]) for name in names}
