"""One training from where it was to its end: the same for every arm, whichever of TRL's trainers it
has."""

import math
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import TrainerCallback
from transformers.trainer_callback import PrinterCallback

from ..distill.run_folder import inside
from .json_lines import add_json_lines
from .preference_checkpoints import TrainingStopped, last_checkpoint, steps_of
from .preference_config import PreferenceConfig
from .preference_output import save_trained
from .preference_result import PreferenceResult

LOG = "log.jsonl"
"""In a training's folder: a line every few steps, and why it stopped, if it did."""


@dataclass(frozen=True, slots=True)
class Ran:
    """What the trainer has done in this call."""

    loss: float
    """Mean over the steps."""

    seconds: float
    num_steps: int
    """In this call; those before a checkpoint that it went on from are not counted."""


class StopOnBadGradients(TrainerCallback):
    """Stops before a step with gradients that are no numbers: the weights stay the last good."""

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        """Called by transformers before each step. Raises `TrainingStopped`."""
        norm = 0.0
        for parameter in given["model"].parameters():
            if parameter.grad is not None:
                norm += float(parameter.grad.detach().float().square().sum())
        if not math.isfinite(norm):
            raise TrainingStopped(
                f"the gradients are no longer numbers at step {state.global_step + 1}"
            )


class Reporting(TrainerCallback):
    """Passes steps and log lines on, in place of transformers' prints."""

    def __init__(
        self,
        on_step: Callable[[int, int], None] | None,
        on_line: Callable[[dict[str, float]], object],
    ) -> None:
        self._on_step = on_step
        self._on_line = on_line

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Called by transformers after each step."""
        if self._on_step is not None and state.is_world_process_zero:
            self._on_step(state.global_step, state.max_steps)

    def on_log(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        """Called by transformers every `logging_steps`."""
        if state.is_world_process_zero:
            self._on_line({"step": state.global_step} | dict(given["logs"]))


def run_training(
    trainer: Any, folder: Path, progress: Callable[[int, int], None] | None = None
) -> Ran:
    """Trains to the end, from the last whole checkpoint if there is one; `progress` is told steps
    done and steps in all. Raises `TrainingStopped`, which says what is kept."""
    log = inside(folder, LOG)
    trainer.remove_callback(PrinterCallback)
    trainer.add_callback(StopOnBadGradients())
    trainer.add_callback(Reporting(progress, lambda line: add_json_lines(log, [line])))
    resumed = last_checkpoint(folder)
    start = time.perf_counter()
    try:
        outcome = trainer.train(resume_from_checkpoint=None if resumed is None else str(resumed))
    except TrainingStopped as error:
        raise TrainingStopped(_kept(error, trainer, folder)) from error
    seconds = time.perf_counter() - start
    before = 0 if resumed is None else steps_of(resumed)
    return Ran(outcome.training_loss, seconds, trainer.state.global_step - before)


def finish_training(
    trainer: Any, result: PreferenceResult, config: PreferenceConfig, base: Any
) -> None:
    """Leaves what was trained with its result in the folder, and takes the checkpoints out."""
    if trainer.accelerator.is_main_process:
        save_trained(trainer, result, config, base)
        for checkpoint in result.folder.glob("checkpoint-*"):
            shutil.rmtree(checkpoint, ignore_errors=True)
    trainer.accelerator.wait_for_everyone()


def _kept(error: Exception, trainer: Any, folder: Path) -> str:
    last = last_checkpoint(folder)
    kept = f"{last} is the last good state" if last else "nothing had been saved yet"
    if "checkpoint" in str(error):
        return f"{error}; {kept}: make room and run the same command again"
    if trainer.accelerator.is_main_process:
        add_json_lines(folder / LOG, [{"stopped": str(error)}])
    return (
        f"{error}; {kept}: try a lower learning_rate (half of it), a higher beta, "
        "max_grad_norm 0.5 or float32, in a new folder"
    )
