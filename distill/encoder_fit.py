"""Fits the encoder: one pass through the frozen half, then epochs over the rest.

Rows are batched by length, so that little is spent on padding; seeded, on the CPU.
"""

import hashlib
import logging
import math
import random
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from onnxruntime import InferenceSession
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.optim import AdamW
from torch.optim.lr_scheduler import LambdaLR

from ..guard.inference import token_id
from ..guard.step_encoder import HEADS, clip
from ..guard.word_units import plain_text
from .encoder_examples import EncoderExample
from .encoder_model import EncoderModel
from .fit_progress import FitProgress

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Lengths:
    """How many word pieces of each part the encoder reads; the runtime uses the same numbers."""

    request: int = 24
    context: int = 20
    step: int = 40
    reading: int = 96


@dataclass(frozen=True, slots=True)
class EncoderFit:
    """Settings of one fit."""

    num_epochs: int = 2
    learning_rate: float = 1e-4
    head_learning_rate: float = 1e-3
    tokens_per_batch: int = 1600
    seed: int = 0


@dataclass(frozen=True, slots=True)
class EncoderRow:
    """The ids of one row and where its second segment starts (0: there is none)."""

    ids: list[int]
    segment_start: int


class RowMaker:
    """Texts into rows, exactly as the runtime makes them (`guard.step_encoder`)."""

    def __init__(self, tokenizer: Tokenizer, lengths: Lengths) -> None:
        tokenizer.no_padding()
        tokenizer.no_truncation()
        self._tokenizer = tokenizer
        self._lengths = lengths
        self._cls = token_id(tokenizer, "[CLS]")
        self._sep = token_id(tokenizer, "[SEP]")

    def row(self, request: str, before: str, step: str | None) -> EncoderRow:
        """The row of a request alone (`step` None) or of a step."""
        if step is None:
            ids = self._pieces(request, self._lengths.reading)
            return EncoderRow([self._cls, *ids, self._sep], 0)
        ids = [
            self._cls,
            *self._pieces(request, self._lengths.request),
            self._sep,
            *self._pieces(before, self._lengths.context),
            self._sep,
        ]
        start = len(ids)
        return EncoderRow([*ids, *self._pieces(step, self._lengths.step), self._sep], start)

    def _pieces(self, text: str, limit: int) -> list[int]:
        return clip(self._tokenizer.encode(plain_text(text), add_special_tokens=False).ids, limit)


def fit_encoder(
    model: EncoderModel,
    tokenizer: Tokenizer,
    examples: Sequence[EncoderExample],
    lengths: Lengths,
    settings: EncoderFit,
    kept: Path | None = None,
) -> None:
    """Fits the model in place. With `kept`, a file, a fit that was stopped goes on from it; the
    caller removes it once the weights are written."""
    torch.manual_seed(settings.seed)
    rng = random.Random(settings.seed)
    maker = RowMaker(tokenizer, lengths)
    rows = [maker.row(example.request, example.before, example.step) for example in examples]
    targets = torch.tensor([example.targets for example in examples])
    weights = torch.tensor([example.weights for example in examples])
    hidden = _lower_states(model, rows)
    num_batches = len(_batches(rows, settings.tokens_per_batch, rng))
    total = num_batches * settings.num_epochs
    optimizer, schedule = _descent(model, settings, total)
    trained = model.trained
    progress = FitProgress(kept, _facts(rows, examples, settings)) if kept else None
    done, running = progress.restore(model, optimizer, schedule) if progress else (0, 0.0)
    began = time.monotonic()
    step = 0
    for epoch in range(settings.num_epochs):
        model.train()
        for batch in _batches(rows, settings.tokens_per_batch, rng):
            if step < done:
                step += 1
                continue
            log_odds = model.upper(*_collated(hidden, rows, batch))
            loss = _loss(log_odds, targets[batch], weights[batch])
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(trained, 1.0)
            optimizer.step()
            schedule.step()
            step += 1
            running = loss.item() if step == 1 else 0.98 * running + 0.02 * loss.item()
            if step % 100 == 0:
                logger.info(
                    "encoder: epoch %d, batch %d of %d, loss %.4f, %.0f s",
                    epoch + 1, step, total, running, time.monotonic() - began,
                )  # fmt: skip
            if progress:
                progress.keep(step, running, model, optimizer, schedule)
    model.eval()


def _descent(model: EncoderModel, settings: EncoderFit, num_steps: int) -> tuple[AdamW, LambdaLR]:
    """New layers learn at a rate of their own; both rates rise over the first steps, then fall."""
    new = [*model.dense.parameters(), *model.heads.parameters()]
    known = set(new)
    optimizer = AdamW(
        [
            {"params": [p for p in model.trained if p not in known], "lr": settings.learning_rate},
            {"params": new, "lr": settings.head_learning_rate},
        ],
        weight_decay=0.01,
    )

    def rate(step: int) -> float:
        return min((step + 1) / (0.06 * num_steps + 1), 1.0) * max(0.02, 1 - step / num_steps)

    return optimizer, LambdaLR(optimizer, rate)


def _facts(
    rows: Sequence[EncoderRow], examples: Sequence[EncoderExample], settings: EncoderFit
) -> dict[str, object]:
    """What tells one fit from another: its settings, what it reads and what it is taught."""
    taught = [
        (row.ids, row.segment_start, example.targets, example.weights)
        for row, example in zip(rows, examples, strict=True)
    ]
    return {**asdict(settings), "taught": hashlib.sha256(repr(taught).encode()).hexdigest()}


def encode(
    model: EncoderModel, rows: Sequence[EncoderRow], *, tokens_per_batch: int = 4000
) -> npt.NDArray[np.float32]:
    """Log-odds `[len(rows), heads]` of the model as it is."""
    model.eval()
    result = np.zeros((len(rows), len(HEADS)), dtype=np.float32)
    with torch.inference_mode():
        for batch in _batches(rows, tokens_per_batch, random.Random(0)):
            result[batch] = model(*_padded([rows[index] for index in batch])).numpy()
    return result


def run_rows(session: InferenceSession, rows: Sequence[EncoderRow]) -> npt.NDArray[np.float32]:
    """Log-odds `[len(rows), heads]` of the exported graph, row by row as the runtime does."""
    found = np.zeros((len(rows), len(HEADS)), dtype=np.float32)
    for index, row in enumerate(rows):
        ids, mask, segments = (tensor.numpy() for tensor in _padded([row]))
        feed = {"input_ids": ids, "attention_mask": mask, "token_type_ids": segments}
        found[index] = np.asarray(session.run(["log_odds"], feed)[0])[0]
    return found


def _lower_states(model: EncoderModel, rows: Sequence[EncoderRow]) -> list[Tensor]:
    """What the frozen half gives for every row, `[length, width]` each, in half precision."""
    model.eval()
    hidden: list[Tensor] = [torch.empty(0)] * len(rows)
    with torch.no_grad():
        for batch in _batches(rows, 4000, random.Random(0)):
            states = model.lower(*_padded([rows[index] for index in batch])).half()
            for index, state in zip(batch, states, strict=True):
                hidden[index] = state[: len(rows[index].ids)].clone()
    return hidden


def _batches(
    rows: Sequence[EncoderRow], tokens_per_batch: int, rng: random.Random
) -> list[list[int]]:
    """Indices of rows of about the same length, in random order."""
    order = sorted(range(len(rows)), key=lambda index: (len(rows[index].ids), rng.random()))
    batches: list[list[int]] = []
    batch: list[int] = []
    for index in order:
        if batch and (len(batch) + 1) * len(rows[index].ids) > tokens_per_batch:
            batches.append(batch)
            batch = []
        batch.append(index)
    if batch:
        batches.append(batch)
    rng.shuffle(batches)
    return batches


def _padded(rows: Sequence[EncoderRow]) -> tuple[Tensor, Tensor, Tensor]:
    width = max(len(row.ids) for row in rows)
    ids = torch.zeros(len(rows), width, dtype=torch.long)
    mask = torch.zeros_like(ids)
    segments = torch.zeros_like(ids)
    for index, row in enumerate(rows):
        length = len(row.ids)
        ids[index, :length] = torch.tensor(row.ids)
        mask[index, :length] = 1
        if row.segment_start:
            segments[index, row.segment_start : length] = 1
    return ids, mask, segments


def _collated(
    hidden: Sequence[Tensor], rows: Sequence[EncoderRow], batch: Sequence[int]
) -> tuple[Tensor, Tensor, Tensor]:
    _, mask, segments = _padded([rows[index] for index in batch])
    states = torch.zeros(*mask.shape, hidden[batch[0]].shape[1])
    for row, index in enumerate(batch):
        states[row, : len(hidden[index])] = hidden[index].float()
    return states, mask, segments


def _loss(log_odds: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
    """Weighted cross-entropy, averaged over each head's taught rows, then over the heads."""
    each = nn.functional.binary_cross_entropy_with_logits(log_odds, targets, reduction="none")
    per_head = (each * weights).sum(0) / weights.sum(0).clamp(min=math.sqrt(len(log_odds)))
    return per_head.sum()
