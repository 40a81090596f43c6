"""Batched generation with a Hugging Face model.

Rows that have ended leave the batch, which the library's `generate` does not do, and a prefix that
several rows share is read once: on a processor core most of the time goes into carrying the cache
along. Tokens are drawn from each row's own random numbers by inverting the cumulative distribution.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import DynamicCache

from .cached_forward import next_logits, padded, positions
from .generation import Completion, Ended, Job, Sampling, Watch
from .roomy_cache import roomy_cache

_COMPACT_BELOW = 0.85
"""The batch is made smaller when no more than this share of its rows is alive: each time costs a
copy of the cache."""


class TransformersGenerator:
    """A causal language model, loaded; leaves its training mode as it was."""

    def __init__(self, model: Any, tokenizer: Any, *, batch_size: int = 64) -> None:
        """`batch_size` rows are generated at once, as the memory allows."""
        if batch_size < 1:
            raise ValueError(f"batch_size is {batch_size}: give at least 1")
        self.model = model
        self.tokenizer = tokenizer
        self.batch_size = batch_size
        self.end_ids = end_ids(model, tokenizer)
        self._context = getattr(model.config, "max_position_embeddings", None) or 1 << 30

    def generate(
        self, jobs: Sequence[Job], sampling: Sampling, watch: Watch | None = None
    ) -> list[Completion]:
        """See `Generator`; jobs of like length are generated together.

        Raises ValueError for a job without ids.
        """
        done: dict[int, Completion] = {}
        order = sorted(range(len(jobs)), key=lambda number: len(jobs[number].ids))
        for number in order:
            if not jobs[number].ids:
                raise ValueError("a job has no ids: the model needs something to continue")
            if len(jobs[number].ids) >= self._context:
                done[number] = Completion((), Ended.LENGTH)
        order = [number for number in order if number not in done]
        training = self.model.training
        self.model.eval()
        try:
            for start in range(0, len(order), self.batch_size):
                rows = order[start : start + self.batch_size]
                done.update(self._batch({number: jobs[number] for number in rows}, sampling, watch))
        finally:
            self.model.train(training)
        return [done[number] for number in range(len(jobs))]

    @torch.no_grad()
    def _batch(
        self, jobs: dict[int, Job], sampling: Sampling, watch: Watch | None
    ) -> dict[int, Completion]:
        rows = list(jobs)
        budgets = {
            number: min(job.max_new_tokens or sampling.max_new_tokens, self._context - len(job.ids))
            for number, job in jobs.items()
        }
        written: dict[int, list[int]] = {number: [] for number in rows}
        done: dict[int, Completion] = {}
        draws = _draws(jobs, budgets, self.model.device)
        cache, logits, mask = self._read(list(jobs.values()))
        for step in range(max(budgets.values())):
            chosen = _choose(logits, sampling, draws[:, step])
            for number, token in zip(rows, chosen.tolist(), strict=True):
                if number in done:
                    continue
                written[number].append(token)
                if token in self.end_ids:
                    done[number] = Completion(tuple(written[number]), Ended.STOP)
                elif len(written[number]) >= budgets[number]:
                    done[number] = Completion(tuple(written[number]), Ended.LENGTH)
            if watch is not None and (step + 1) % watch.every == 0:
                looked = {number: written[number] for number in rows if number not in done}
                for number in watch.ended(looked) if looked else ():
                    done[number] = Completion(tuple(written[number]), Ended.WATCH)
            alive = [index for index, number in enumerate(rows) if number not in done]
            if not alive:
                break
            if len(alive) <= _COMPACT_BELOW * len(rows):
                kept = torch.tensor(alive, device=mask.device)
                cache.batch_select_indices(kept)
                chosen, mask, draws = chosen[kept], mask[kept], draws[kept]
                rows = [rows[index] for index in alive]
            places = mask.sum(1, keepdim=True)
            mask = torch.cat([mask, torch.ones_like(mask[:, :1])], dim=1)
            logits = next_logits(self.model, chosen[:, None], mask, places, cache)
        return done

    def _read(self, jobs: Sequence[Job]) -> tuple[DynamicCache, Tensor, Tensor]:
        """The jobs' ids in the cache, the logits of the next tokens `[rows, vocabulary]`, and the
        mask of the cache's places `[rows, width]`; a head that several jobs share is read once."""
        cache = roomy_cache(self.model.config)
        lengths = [len(job.ids) - 1 if job.shared is None else job.shared for job in jobs]
        heads = [job.ids[: min(n, len(job.ids) - 1)] for job, n in zip(jobs, lengths, strict=True)]
        numbers = {head: index for index, head in enumerate(dict.fromkeys(heads))}
        if len(numbers) == len(jobs) or not all(heads):
            ids, mask = self._padded([job.ids for job in jobs])
            logits = next_logits(self.model, ids, mask, positions(mask), cache)
            return cache, logits, mask
        ids, mask = self._padded(list(numbers))
        next_logits(self.model, ids, mask, positions(mask), cache)
        owners = torch.tensor([numbers[head] for head in heads], device=mask.device)
        cache.batch_select_indices(owners)
        tails = [job.ids[len(head) :] for job, head in zip(jobs, heads, strict=True)]
        ids, tail_mask = self._padded(tails)
        mask = torch.cat([mask[owners], tail_mask], dim=1)  # padding may lie between head and tail
        places = positions(mask)[:, -ids.shape[1] :]
        return cache, next_logits(self.model, ids, mask, places, cache), mask

    def _padded(self, rows: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
        return padded(rows, self.model.device, padding=min(self.end_ids, default=0))


def end_ids(model: Any, tokenizer: Any) -> frozenset[int]:
    """The ids by which a model ends its turn: its generation config's, and the tokenizer's."""
    found: set[int] = set()
    configured = getattr(model.generation_config, "eos_token_id", None)
    for each in (configured, tokenizer.eos_token_id):
        found.update(each if isinstance(each, Iterable) else [each] if each is not None else [])
    return frozenset(found)


def _draws(jobs: dict[int, Job], budgets: dict[int, int], device: Any) -> Tensor:
    """Each row's random numbers in [0, 1), `[rows, steps]`."""
    width = max(budgets.values())
    rows = [
        np.random.Generator(np.random.Philox(key=job.seed)).random(job.drawn + width)[job.drawn :]
        for job in jobs.values()
    ]
    return torch.tensor(np.array(rows), dtype=torch.float32, device=device)


def _choose(logits: Tensor, sampling: Sampling, draws: Tensor) -> Tensor:
    """One token a row."""
    if not sampling.temperature:
        return logits.argmax(-1)
    logits = logits.float() / sampling.temperature
    if sampling.top_k and sampling.top_k < logits.shape[-1]:
        logits, order = logits.topk(sampling.top_k)
    else:
        logits, order = logits.sort(descending=True, stable=True)
    shares = logits.softmax(-1)
    before = shares.cumsum(-1) - shares
    shares = shares.masked_fill(before >= sampling.top_p, 0.0)
    reached = shares.cumsum(-1)
    wanted = draws[:, None] * reached[:, -1:]
    index = (reached <= wanted).sum(-1, keepdim=True).clamp(max=reached.shape[-1] - 1)
    # Numbers are rounded: what lies beyond the last share stands for the last token that has one.
    last = (shares > 0).sum(-1, keepdim=True) - 1
    return order.gather(1, index.minimum(last)).squeeze(1)
