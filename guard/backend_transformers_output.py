"""What `generate` returns under the guard: the same types and shapes as without.

Where nothing was taken out it is the very result of the one run. Else the rows are put together
from their kept tokens, padded on the right; scores and logits of injected tokens, which no model
gave, are NaN, as they are after a row's end.
"""

from collections.abc import Sequence
from typing import Any

import torch
from transformers.generation.utils import GenerateDecoderOnlyOutput

from .backend_transformers_request import Request
from .backend_transformers_rows import Row

_PER_STEP = ("scores", "logits")


class Collector:
    """Takes in the results of the runs, and gives the result of the call."""

    def __init__(self, request: Request) -> None:
        self._request = request
        self._only: Any | None = None
        self._cache: Any | None = None
        self._steps: dict[str, list[list[torch.Tensor]]] = {}
        for name in _PER_STEP:
            if request.config.return_dict_in_generate and getattr(request.config, f"output_{name}"):
                self._steps[name] = [[] for _ in range(request.num_rows)]

    def take(self, output: Any, rows: Sequence[Row], *, first: bool) -> None:
        """One run's result; `rows` in the order of its batch, before anything is injected."""
        self._only = output if first else None
        self._cache = getattr(output, "past_key_values", None)
        for name, per_row in self._steps.items():
            for row in rows:
                per_row[row.index].extend(step[row.position] for step in getattr(output, name))

    def intervened(self, row: Row) -> None:
        """A row whose last intervention has been put in: its steps are cut and filled up."""
        self._only = self._cache = None
        for per_row in self._steps.values():
            steps = per_row[row.index]
            blank = torch.full_like(steps[0], torch.nan)
            del steps[row.kept :]
            steps.extend([blank] * (row.session.num_tokens - row.kept))

    def result(self, rows: Sequence[Row]) -> Any:
        """The call's result: ids [rows, length], or the record that holds them."""
        request = self._request
        wants_record = bool(request.config.return_dict_in_generate)
        if self._only is not None:
            return self._only if wants_record else self._only.sequences
        kept = [row.session.tokens.known_ids() for row in rows]
        longest = max(map(len, kept))
        padded = [[*ids, *([request.pad_id] * (longest - len(ids)))] for ids in kept]
        prompts = request.input_ids
        sequences = torch.cat(
            [prompts, torch.tensor(padded, dtype=prompts.dtype, device=prompts.device)], dim=1
        )
        if not wants_record:
            return sequences
        steps: dict[str, Any] = {
            name: self._stacked(per_row, longest) for name, per_row in self._steps.items()
        }
        cache = self._cache if len(rows) == 1 else None
        record: Any = GenerateDecoderOnlyOutput  # its annotations are narrower than what it takes
        return record(sequences=sequences, past_key_values=cache, **steps)

    @staticmethod
    def _stacked(per_row: list[list[torch.Tensor]], longest: int) -> tuple[torch.Tensor, ...]:
        blank = next(torch.full_like(steps[0], torch.nan) for steps in per_row if steps)
        return tuple(
            torch.stack([steps[at] if at < len(steps) else blank for steps in per_row])
            for at in range(longest)
        )
