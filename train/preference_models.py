"""The model that is trained: loaded whole, with a new adapter, or with one to go on with."""

import json
from pathlib import Path
from typing import Any

import torch

from ..guard.backend_transformers_identity import model_identity
from ..guard.backend_transformers_loading import load
from .preference_config import PreferenceConfig
from .sandbox.shipped import resolved as resolved

RECORD = "rerail.json"
"""Beside an adapter: which weights it belongs to."""


def load_policy(config: PreferenceConfig) -> tuple[Any, Any, str]:
    """Model, tokenizer and the base weights' fingerprint; adapters that are to be trained on are
    put on, new ones are the trainer's.

    Raises FileNotFoundError, ValueError or OSError with a sentence for what cannot be loaded.
    """
    options: dict[str, Any] = {}
    if config.dtype is not None:
        options["dtype"] = getattr(torch, config.dtype)
    model, tokenizer = load(resolved(config.model_name_or_path), **options)
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    fingerprint = model_identity(model).rpartition("@")[2]
    if config.adapter_name_or_path is not None:
        model = with_adapter(model, config.adapter_name_or_path, trainable=True)
    elif not config.use_peft:
        model.requires_grad_(True)
    return model, tokenizer, fingerprint


def with_adapter(model: Any, adapter: str | Path, *, trainable: bool = False) -> Any:
    """The model under an adapter.

    Raises ValueError if the adapter was made for other weights, and FileNotFoundError without it.
    """
    from peft import PeftModel

    folder = Path(adapter)
    if not (folder / "adapter_config.json").is_file():
        raise FileNotFoundError(
            f"{folder} holds no adapter (there is no adapter_config.json in it): give the folder "
            "that training wrote as `adapter`"
        )
    record = folder / RECORD
    fingerprint = model_identity(model).rpartition("@")[2]
    made_for = json.loads(record.read_text("utf-8"))["base"] if record.is_file() else fingerprint
    if made_for != fingerprint:
        raise ValueError(
            f"the adapter {folder} was trained over other weights ({made_for}) than these "
            f"({fingerprint}): give the model that it was trained on"
        )
    try:
        return PeftModel.from_pretrained(model, str(folder), is_trainable=trainable)
    except (RuntimeError, ValueError, KeyError) as error:
        raise ValueError(
            f"the adapter {folder} does not fit this model: give the one that it was trained on "
            f"({str(error).splitlines()[0]})"
        ) from error


def lora_config(config: PreferenceConfig) -> Any:
    """What TRL makes the new adapter from, or None where none is to be made."""
    if not config.use_peft or config.adapter_name_or_path is not None:
        return None
    from peft import LoraConfig

    names = config.lora_target_modules
    return LoraConfig(
        r=config.lora_r,
        lora_alpha=config.lora_alpha,
        lora_dropout=config.lora_dropout,
        target_modules="all-linear" if names == ("all-linear",) else list(names),
        task_type="CAUSAL_LM",
    )
