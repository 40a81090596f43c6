"""Preference training: a folder of its own, resumable to the step, from exact token ids.

The folder holds `config.json`, `log.jsonl`, the last checkpoints while it runs, and in the end
`adapter/` (or `model/` where all weights were trained) and `result.json`. The same call on the same
folder goes on where it was; with another configuration it is refused.
"""

import json
import shutil
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..guard.pairs import Pair
from .library_noise import quiet
from .preference_config import Arm, Layout, PreferenceConfig
from .preference_data import PreferenceRows, rows_of, training_order
from .preference_layout import PlainCollator, SharedCollator, shared_length, takes_masks
from .preference_models import load_policy, lora_config
from .preference_output import save_trained
from .run_folder import check_config, read_record, write_record

Progress = Callable[[int, int], None]
"""Told steps done and steps in all."""


@dataclass(frozen=True, slots=True)
class PreferenceResult:
    """What a training run left behind."""

    folder: Path

    trained: Path
    """The adapter's folder, or the model's where all weights were trained."""

    num_pairs: int
    left_out: dict[str, int]
    """Pairs that could not be trained on, by reason."""

    from_text: int
    cut: int
    num_steps: int
    loss: float
    """The mean over the steps."""

    seconds: float
    """Of the training itself, of the last of several runs where it was resumed."""

    pairs_per_s: float
    layout: str


def train_preference(
    config: PreferenceConfig,
    pairs: Iterable[Pair],
    folder: Path,
    progress: Progress | None = None,
) -> PreferenceResult:
    """Trains on `pairs` and leaves the result in `folder`.

    Raises ValueError with a sentence for pairs or models that do not do, for a folder that holds a
    run of another configuration, and `TrainingStopped` where training cannot go on: the last good
    state is kept then, and the same call goes on from the last checkpoint.
    """
    folder.mkdir(parents=True, exist_ok=True)
    check_config(folder, config.as_record())
    if (done := read_record(folder / "result.json")) is not None:
        return _result(folder, done)
    if config.arm is Arm.GRPO:
        raise ValueError("the arm grpo writes its own traces: call preference_grpo.train_grpo")
    with quiet():
        return _train(config, list(pairs), folder, progress)


def _train(
    config: PreferenceConfig, pairs: list[Pair], folder: Path, progress: Progress | None
) -> PreferenceResult:
    from .preference_trainer import TrainingStopped

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
    trained = folder / ("adapter" if config.use_peft else "model")
    result = PreferenceResult(
        folder=folder,
        trained=trained,
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
        record = asdict(result) | {"folder": None, "trained": trained.name}
        save_trained(
            trainer.accelerator.unwrap_model(trainer.model),
            tokenizer,
            trained,
            config,
            record,
            base,
        )
        write_record(folder / "result.json", record)
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


def build_trainer(
    config: PreferenceConfig,
    model: Any,
    tokenizer: Any,
    rows: PreferenceRows,
    folder: Path,
    progress: Progress | None = None,
) -> Any:
    """The trainer, ready to train; TRL settles the model, its adapter and the reference."""
    from datasets import Dataset
    from trl.trainer.dpo_config import DPOConfig

    from .preference_trainer import PreferenceTrainer, Reporting, StopOnBadGradients

    shared = layout_of(config, model) is Layout.SHARED
    types = config.loss_types
    each = config.per_device_train_batch_size * config.gradient_accumulation_steps
    num_steps = config.max_steps or round(len(rows.rows) * config.num_train_epochs / each)
    arguments = DPOConfig(
        output_dir=str(folder),
        beta=config.beta,
        loss_type=list(types),
        loss_weights=list(types.values()),
        learning_rate=config.learning_rate,
        lr_scheduler_type=config.lr_scheduler_type,
        warmup_steps=min(config.warmup_steps, num_steps // 10),
        max_grad_norm=config.max_grad_norm,
        num_train_epochs=1,  # the data set holds all epochs in their order
        max_steps=config.max_steps or -1,
        per_device_train_batch_size=config.per_device_train_batch_size,
        gradient_accumulation_steps=config.gradient_accumulation_steps,
        gradient_checkpointing=config.gradient_checkpointing,
        precompute_ref_log_probs=config.precompute_ref_log_probs and "sigmoid" in types,
        max_length=None,
        bf16=config.bf16,
        use_cpu=config.use_cpu,
        seed=config.seed,
        save_steps=config.save_steps,
        save_total_limit=2,
        logging_steps=config.logging_steps,
        train_sampling_strategy="sequential",
        remove_unused_columns=False,
        disable_dropout=config.lora_dropout == 0,
        dataloader_pin_memory=False,
        disable_tqdm=True,
        report_to="none",
    )
    step = config.per_device_train_batch_size * arguments.world_size
    lengths = [shared_length({name: getattr(row, name) for name in _COLUMNS}) for row in rows.rows]
    order = training_order(
        lengths, step * config.gradient_accumulation_steps, config.num_train_epochs, config.seed
    )
    columns: dict[str, list[Any]] = {"row": order}
    for name in _COLUMNS:
        columns[name] = [list(getattr(rows.rows[number], name)) for number in order]
    pad = tokenizer.pad_token_id
    boolean = getattr(model.config.get_text_config(), "_attn_implementation", None) == "sdpa"
    trainer = PreferenceTrainer(
        loss=types,
        model=model,
        args=arguments,
        data_collator=SharedCollator(pad, boolean) if shared else PlainCollator(pad),
        train_dataset=Dataset.from_dict(columns, features=_features()),
        processing_class=tokenizer,
        peft_config=lora_config(config),
        ref_model=None if config.use_peft else _frozen_copy(model, config),
    )
    from transformers.trainer_callback import PrinterCallback

    trainer.remove_callback(PrinterCallback)
    trainer.add_callback(StopOnBadGradients())
    trainer.add_callback(Reporting(progress, lambda line: _log(folder, line)))
    return trainer


def last_checkpoint(folder: Path) -> Path | None:
    """The last checkpoint that was written to its end; what lies there half written goes."""
    from .preference_trainer import WHOLE

    whole: list[Path] = []
    for checkpoint in folder.glob("checkpoint-*"):
        if (checkpoint / WHOLE).exists():
            whole.append(checkpoint)
        else:
            shutil.rmtree(checkpoint, ignore_errors=True)
    return max(whole, key=lambda each: int(each.name.rpartition("-")[2]), default=None)


_COLUMNS = ("prompt_ids", "chosen_ids", "rejected_ids")


def _features() -> Any:
    from datasets import Features, List, Value

    ids = List(Value("int32"))
    return Features({"row": Value("int32")} | dict.fromkeys(_COLUMNS, ids))


def _frozen_copy(model: Any, config: PreferenceConfig) -> Any:
    """The reference where all weights are trained; TRL would load it from the hub by its name."""
    from copy import deepcopy

    if config.precompute_ref_log_probs or "sigmoid" not in config.loss_types:
        return None
    return deepcopy(model).eval().requires_grad_(False)


def _pairs_a_step(trainer: Any) -> int:
    each = trainer.args.per_device_train_batch_size * trainer.args.gradient_accumulation_steps
    return each * trainer.args.world_size


def _kept(error: Exception, trainer: Any, folder: Path) -> str:
    last = last_checkpoint(folder)
    kept = f"{last} is the last good state" if last else "nothing had been saved yet"
    if "checkpoint" in str(error):
        return f"{error}; {kept}: make room and run the same command again"
    if trainer.accelerator.is_main_process:
        lines = [{"stopped": str(error)}]
        for line in lines:
            _log(folder, line)
    return (
        f"{error}; {kept}: try a lower learning_rate (half of it), a higher beta, "
        "max_grad_norm 0.5 or float32, in a new folder"
    )


def _log(folder: Path, line: dict[str, Any]) -> None:
    with (folder / "log.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")


def _result(folder: Path, record: dict[str, Any]) -> PreferenceResult:
    return PreferenceResult(**(record | {"folder": folder, "trained": folder / record["trained"]}))
