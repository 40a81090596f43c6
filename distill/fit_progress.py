"""How far a fit of the encoder has got, on disk: a pass takes half an hour and may be stopped.

What is kept is all that the rest depends on, so a fit that goes on ends at the same weights as one
that was never stopped.
"""

import logging
import time
from pathlib import Path

import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

logger = logging.getLogger(__name__)

SECONDS_BETWEEN = 120.0
"""The state is written so often; it takes about a second."""


class FitProgress:
    """Keeps a fit's state every few minutes, and gives it back.

    The batches themselves are not kept: they are drawn again with the same seed, so a file is only
    good for the data and settings that it was begun with. `facts` tells those apart.
    """

    def __init__(self, path: Path, facts: dict[str, object]) -> None:
        self._path = path
        self._facts = facts
        self._kept = time.monotonic()

    def restore(
        self, model: nn.Module, optimizer: Optimizer, schedule: LRScheduler
    ) -> tuple[int, float]:
        """Puts the kept state back; gives the batches already done and the running loss.

        `(0, 0.0)` where nothing is kept, or only of other data or settings.
        """
        if not self._path.exists():
            return 0, 0.0
        kept = torch.load(self._path, weights_only=True)
        if kept["facts"] != self._facts:
            logger.info("%s is of other data or settings: the fit begins anew", self._path)
            return 0, 0.0
        model.load_state_dict(kept["model"])
        optimizer.load_state_dict(kept["optimizer"])
        schedule.load_state_dict(kept["schedule"])
        torch.set_rng_state(kept["random"])
        logger.info("encoder: going on after batch %d", kept["step"])
        return kept["step"], kept["running"]

    def keep(
        self,
        step: int,
        running: float,
        model: nn.Module,
        optimizer: Optimizer,
        schedule: LRScheduler,
    ) -> None:
        """Writes the state if the last time is long enough ago: whole, or not at all."""
        if time.monotonic() - self._kept < SECONDS_BETWEEN:
            return
        partial = self._path.with_suffix(".partial")
        state = {
            "facts": self._facts,
            "step": step,
            "running": running,
            "model": model.state_dict(),
            "optimizer": optimizer.state_dict(),
            "schedule": schedule.state_dict(),
            "random": torch.get_rng_state(),
        }
        torch.save(state, partial)
        partial.rename(self._path)
        self._kept = time.monotonic()
