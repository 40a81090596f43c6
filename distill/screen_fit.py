"""Fits the screen on whole traces, to labels and to what the encoder makes of every step."""

import logging
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from tokenizers import Tokenizer
from torch import Tensor, nn

from ..guard.inference import token_id
from ..guard.screen import PIECES_PER_WORD
from ..guard.word_units import plain_word, split_units
from .screen_model import NUM_HEADS, ScreenModel

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ScreenFit:
    """Settings of one fit."""

    width: int = 64
    dimensions: int = 96
    num_epochs: int = 6
    learning_rate: float = 2e-3
    traces_per_batch: int = 16
    max_units: int = 500
    """Of a longer trace, this many first units are read."""

    num_traces: int | None = None
    """Training traces that it is fitted on, at most; all by default."""

    seed: int = 0


@dataclass(frozen=True, slots=True)
class ScreenExample:
    """One trace: its steps, and for each a target and a weight for every head."""

    steps: tuple[str, ...]
    targets: npt.NDArray[np.float32]
    """Shape `[steps, NUM_HEADS]`, 0..1."""

    weights: npt.NDArray[np.float32]
    """The same shape; 0 where the head is not taught."""


class UnitReader:
    """Steps into units' word pieces, exactly as the runtime reads them (`guard.screen`)."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        tokenizer.no_padding()
        tokenizer.no_truncation()
        self._tokenizer = tokenizer
        self._end = token_id(tokenizer, "[SEP]")
        self._known: dict[str, list[int]] = {}

    def pieces(self, step: str) -> list[list[int]]:
        """One row of `PIECES_PER_WORD` ids a unit, the end of the step included."""
        units, last = split_units(step)
        if last:
            units.append(last)
        return [*(self._row(unit) for unit in units), self._padded([self._end])]

    def _row(self, unit: str) -> list[int]:
        row = self._known.get(unit)
        if row is None:
            ids = self._tokenizer.encode(plain_word(unit), add_special_tokens=False).ids
            row = self._known[unit] = self._padded(ids[:PIECES_PER_WORD])
        return row

    @staticmethod
    def _padded(ids: list[int]) -> list[int]:
        return ids + [0] * (PIECES_PER_WORD - len(ids))


def fit_screen(
    table: npt.NDArray[np.float16],
    tokenizer: Tokenizer,
    examples: Sequence[ScreenExample],
    settings: ScreenFit,
) -> ScreenModel:
    """A fitted screen. `table` holds the reduced word vectors `[pieces, dimensions]`."""
    torch.manual_seed(settings.seed)
    rng = random.Random(settings.seed)
    model = ScreenModel(table, settings.width)
    reader = UnitReader(tokenizer)
    sequences = [_sequence(reader, example, settings.max_units) for example in examples]
    optimizer = torch.optim.AdamW(model.parameters(), lr=settings.learning_rate, weight_decay=0.02)
    size = settings.traces_per_batch
    total = settings.num_epochs * -(-len(sequences) // size)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, settings.learning_rate, total_steps=total
    )
    began = time.monotonic()
    for epoch in range(settings.num_epochs):
        # Traces of like length together, the batches in random order.
        order = sorted(range(len(sequences)), key=lambda i: (len(sequences[i][0]), rng.random()))
        batches = [order[start : start + size] for start in range(0, len(order), size)]
        rng.shuffle(batches)
        losses: list[float] = []
        for batch in batches:
            pieces, targets, weights = _collated([sequences[index] for index in batch])
            log_odds, _ = model(pieces)
            each = nn.functional.binary_cross_entropy_with_logits(
                log_odds, targets, reduction="none"
            )
            loss = ((each * weights).sum((0, 1)) / weights.sum((0, 1)).clamp(min=1.0)).sum()
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            losses.append(loss.item())
        seconds = time.monotonic() - began
        logger.info("screen: epoch %d, loss %.4f, %.0f s", epoch + 1, np.mean(losses), seconds)
    return model.eval()


_Unrolled = tuple[npt.NDArray[np.int64], npt.NDArray[np.float32], npt.NDArray[np.float32]]


def _sequence(reader: UnitReader, example: ScreenExample, max_units: int) -> _Unrolled:
    """Pieces, targets and weights of every unit; a step's last units weigh most."""
    pieces: list[list[int]] = []
    targets: list[npt.NDArray[np.float32]] = []
    weights: list[npt.NDArray[np.float32]] = []
    for step, target, weight in zip(example.steps, example.targets, example.weights, strict=True):
        rows = reader.pieces(step)
        pieces.extend(rows)
        for index in range(len(rows)):
            share = 3.0 if index == len(rows) - 1 else ((index + 1) / len(rows)) ** 2 / 4
            targets.append(target)
            weights.append(weight * share)
        if len(pieces) >= max_units:
            break
    return (
        np.array(pieces[:max_units], dtype=np.int64),
        np.array(targets[:max_units], dtype=np.float32),
        np.array(weights[:max_units], dtype=np.float32),
    )


def _collated(sequences: Sequence[_Unrolled]) -> tuple[Tensor, Tensor, Tensor]:
    longest = max(len(pieces) for pieces, _, _ in sequences)
    pieces = torch.zeros(len(sequences), longest, PIECES_PER_WORD, dtype=torch.long)
    targets = torch.zeros(len(sequences), longest, NUM_HEADS)
    weights = torch.zeros(len(sequences), longest, NUM_HEADS)
    for row, (ids, target, weight) in enumerate(sequences):
        pieces[row, : len(ids)] = torch.from_numpy(ids)
        targets[row, : len(ids)] = torch.from_numpy(target)
        weights[row, : len(ids)] = torch.from_numpy(weight)
    return pieces, targets, weights
