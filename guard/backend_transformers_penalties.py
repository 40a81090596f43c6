"""OpenAI's penalties and logit bias for transformers, which has none of them in this form."""

from collections.abc import Mapping
from typing import Any

import torch
from transformers import LogitsProcessor


class NewTokenPenalties(LogitsProcessor):
    """Lowers tokens that have been generated already, and adds the bias.

    What was generated is told from the prompt by position, so a resumed run goes on exactly.
    """

    def __init__(
        self,
        prompt_length: int,
        *,
        presence: float = 0.0,
        frequency: float = 0.0,
        bias: Mapping[int, float] | None = None,
    ) -> None:
        self._prompt_length = prompt_length
        self._presence = presence
        self._frequency = frequency
        self._bias = dict(bias or {})

    @property
    def active(self) -> bool:
        """Whether it changes anything."""
        return bool(self._presence or self._frequency or self._bias)

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        """Takes ids [rows, length] and scores [rows, vocabulary]."""
        scores = scores.clone()
        new = input_ids[:, self._prompt_length :]
        counts = torch.zeros_like(scores).scatter_add_(
            1, new, torch.ones_like(new, dtype=scores.dtype)
        )
        scores -= self._frequency * counts + self._presence * (counts > 0)
        for token_id, value in self._bias.items():
            scores[:, token_id] += value
        return scores
