"""Preference training: a folder of its own, resumable to the step, from exact token ids.

The folder holds `config.json`, `log.jsonl`, the last checkpoints while it runs, and in the end
`adapter/` (or `model/` where all weights were trained) and `result.json`. The same call on the same
folder goes on where it was; with another configuration it is refused.
"""

import shutil
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from ..distill.run_folder import check_config
from ..guard.pairs import Pair
from .json_lines import add_json_lines
from .judges import Judge
from .library_noise import quiet
from .preference_config import Arm, PreferenceConfig
from .preference_data import rows_of
from .preference_layout import layout_of
from .preference_models import load_policy
from .preference_output import save_trained, trained_folder
from .preference_result import PreferenceResult

Progress = Callable[[int, int], None]
"""Told steps done and steps in all."""


def train_preference(
    config: PreferenceConfig,
    pairs: Iterable[Pair],
    folder: Path,
    progress: Progress | None = None,
    *,
    judge: Judge | None = None,
) -> PreferenceResult:
    """Trains on `pairs` by the arm of the settings, and leaves the result in `folder`.

    `judge` rewards the arm that writes its own traces, `grpo`, which tells no `progress`; by
    default it is the sandbox's exact one. Raises ValueError with a sentence for pairs or models
    that do not do, for a folder that holds a run of another configuration, and `TrainingStopped`
    where training cannot go on: the last good state is kept then, and the same call goes on from
    the last checkpoint.
    """
    folder.mkdir(parents=True, exist_ok=True)
    check_config(folder, config.as_record())
    if (done := PreferenceResult.read(folder)) is not None:
        return done
    with quiet():
        if config.arm is Arm.GRPO:
            from .preference_grpo import train_grpo

            return train_grpo(config, list(pairs), folder, judge)
        return _train(config, list(pairs), folder, progress)


def _train(
    config: PreferenceConfig, pairs: Sequence[Pair], folder: Path, progress: Progress | None
) -> PreferenceResult:
    from .preference_setup import build_trainer
    from .preference_trainer import TrainingStopped, last_checkpoint

    model, tokenizer, base = load_policy(config)
    rows = rows_of(pairs, tokenizer, config)
    layout = layout_of(config, model)
    trainer = build_trainer(config, model, tokenizer, rows, folder, progress)
    resumed = last_checkpoint(folder)
    before = int(resumed.name.rpartition("-")[2]) if resumed is not None else 0
    start = time.perf_counter()
    try:
        outcome = trainer.train(resume_from_checkpoint=None if resumed is None else str(resumed))
    except TrainingStopped as error:
        raise TrainingStopped(_kept(error, trainer, folder)) from error
    seconds = time.perf_counter() - start
    steps = trainer.state.global_step
    result = PreferenceResult(
        folder=folder,
        trained=trained_folder(config, folder),
        num_pairs=len(rows.rows),
        left_out=rows.left_out,
        from_text=rows.from_text,
        cut=rows.cut,
        num_steps=steps,
        loss=outcome.training_loss,
        seconds=seconds,
        pairs_per_s=(steps - before) * _pairs_a_step(trainer) / max(seconds, 1e-9),
        layout=layout,
    )
    if trainer.accelerator.is_main_process:
        save_trained(trainer, result, config, base)
        for checkpoint in folder.glob("checkpoint-*"):
            shutil.rmtree(checkpoint, ignore_errors=True)
    trainer.accelerator.wait_for_everyone()
    return result


def in_percent(advance: Callable[[], None]) -> Progress:
    """Moves a bar of 100 as training comes along."""
    shown = 0

    def step(done: int, total: int) -> None:
        nonlocal shown
        while shown < 100 * done // max(1, total):
            advance()
            shown += 1

    return step


def _pairs_a_step(trainer: Any) -> int:
    each = trainer.args.per_device_train_batch_size * trainer.args.gradient_accumulation_steps
    return each * trainer.args.world_size


def _kept(error: Exception, trainer: Any, folder: Path) -> str:
    from .preference_setup import LOG
    from .preference_trainer import last_checkpoint

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
