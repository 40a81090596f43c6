"""Preference training: a folder of its own, resumable to the step, from exact token ids.

The folder holds `config.json`, `log.jsonl`, the last checkpoints while it runs, and in the end
`adapter/` (or `model/` where all weights were trained) and `result.json`. The same call on the same
folder goes on where it was; with another configuration it is refused.
"""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from ..distill.run_folder import check_config
from ..guard.pairs import Pair
from .judges import Judge
from .library_noise import quiet
from .preference_config import Arm, PreferenceConfig
from .preference_data import rows_of
from .preference_layout import layout_of
from .preference_models import load_policy
from .preference_output import trained_folder
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

    `judge` rewards the arm that writes its own traces, `grpo`; by default it is the sandbox's exact
    one. Raises ValueError with a sentence for pairs or models
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

            return train_grpo(config, list(pairs), folder, progress, judge)
        return _train(config, list(pairs), folder, progress)


def _train(
    config: PreferenceConfig, pairs: Sequence[Pair], folder: Path, progress: Progress | None
) -> PreferenceResult:
    from .preference_run import finish_training, run_training
    from .preference_setup import build_trainer

    model, tokenizer, base = load_policy(config)
    rows = rows_of(pairs, tokenizer, config)
    trainer = build_trainer(config, model, tokenizer, rows, folder)
    ran = run_training(trainer, folder, progress)
    result = PreferenceResult(
        folder=folder,
        trained=trained_folder(config, folder),
        num_pairs=len(rows.rows),
        left_out=rows.left_out,
        from_text=rows.from_text,
        cut=rows.cut,
        num_steps=trainer.state.global_step,
        loss=ran.loss,
        seconds=ran.seconds,
        pairs_per_s=ran.num_steps * _pairs_a_step(trainer) / max(ran.seconds, 1e-9),
        layout=layout_of(config, model),
    )
    finish_training(trainer, result, config, base)
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
