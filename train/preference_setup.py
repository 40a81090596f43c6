"""What a preference training is made of: TRL's settings, the rows in their order, the reference."""

from pathlib import Path
from typing import Any

from datasets import Dataset, Features, List, Value
from trl.trainer.dpo_config import DPOConfig

from .preference_config import Layout, PreferenceConfig
from .preference_data import PreferenceRows, training_order
from .preference_layout import PlainCollator, SharedCollator, layout_of, shared_length
from .preference_models import lora_config
from .preference_trainer import PreferenceTrainer

_COLUMNS = ("prompt_ids", "chosen_ids", "rejected_ids")


def build_trainer(
    config: PreferenceConfig,
    model: Any,
    tokenizer: Any,
    rows: PreferenceRows,
    folder: Path,
) -> Any:
    """The trainer, ready to train; TRL settles the model, its adapter and the reference."""
    arguments = training_arguments(config, len(rows.rows), folder)
    pad = tokenizer.pad_token_id
    shared = layout_of(config, model) is Layout.SHARED
    boolean = getattr(model.config.get_text_config(), "_attn_implementation", None) == "sdpa"
    return PreferenceTrainer(
        loss=config.loss_types,
        model=model,
        args=arguments,
        data_collator=SharedCollator(pad, boolean) if shared else PlainCollator(pad),
        train_dataset=_in_order(rows, config, arguments.world_size),
        processing_class=tokenizer,
        peft_config=lora_config(config),
        ref_model=None if config.use_peft else _frozen_copy(model, config),
    )


def training_arguments(config: PreferenceConfig, num_pairs: int, folder: Path) -> DPOConfig:
    """Our settings in TRL's words."""
    types = config.loss_types
    each = config.per_device_train_batch_size * config.gradient_accumulation_steps
    num_steps = config.max_steps or round(num_pairs * config.num_train_epochs / each)
    return DPOConfig(
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


def _in_order(rows: PreferenceRows, config: PreferenceConfig, num_processes: int) -> Dataset:
    """All epochs one after the other, each step's rows of similar lengths."""
    each = config.per_device_train_batch_size * num_processes * config.gradient_accumulation_steps
    lengths = [shared_length({name: getattr(row, name) for name in _COLUMNS}) for row in rows.rows]
    order = training_order(lengths, each, config.num_train_epochs, config.seed)
    columns: dict[str, list[Any]] = {"row": order}
    for name in _COLUMNS:
        columns[name] = [list(getattr(rows.rows[number], name)) for number in order]
    ids = List(Value("int32"))
    features = Features({"row": Value("int32")} | dict.fromkeys(_COLUMNS, ids))
    return Dataset.from_dict(columns, features=features)


def _frozen_copy(model: Any, config: PreferenceConfig) -> Any:
    """The reference where all weights are trained; TRL would load it from the hub by its name."""
    from copy import deepcopy

    if config.precompute_ref_log_probs or "sigmoid" not in config.loss_types:
        return None
    return deepcopy(model).eval().requires_grad_(False)
