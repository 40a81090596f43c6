"""What training leaves for others: an adapter or a whole model, as any Hugging Face user loads it.

Each folder holds safetensors, tokenizer, chat template, generation config and a model card. A
folder appears under its name when it is whole.
"""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..distill.run_folder import write_record
from ..guard.calibration import Calibration
from .preference_card import card
from .preference_config import PreferenceConfig
from .preference_models import RECORD, resolved
from .preference_result import PreferenceResult
from .weights import Weights


def trained_folder(config: PreferenceConfig, folder: Path) -> Path:
    """Where in a training's folder its result goes: `adapter`, or `model` for all weights."""
    return folder / ("adapter" if config.use_peft else "model")


def save_trained(
    trainer: Any, result: PreferenceResult, config: PreferenceConfig, base: str
) -> None:
    """Writes what was trained, the adapter alone or all weights, and then the result.

    `base` is the fingerprint of the weights under the adapter. Raises OSError if the disk is full;
    then nothing lies under the folder's name.
    """
    model = trainer.accelerator.unwrap_model(trainer.model)
    draft = _draft(result.trained)
    if hasattr(model, "peft_config"):
        model.save_pretrained(draft, selected_adapters=["default"])
        write_record(draft / RECORD, {"base": base, "model": config.model_name_or_path})
    else:
        plain_forward(model).save_pretrained(draft)
    trainer.processing_class.save_pretrained(draft)
    model.generation_config.save_pretrained(draft)
    (draft / "README.md").write_text(card(config, result.record), "utf-8")
    _put_in_place(draft, result.trained)
    result.write()


def save_merged(
    model_name_or_path: str,
    adapter: Path,
    folder: Path,
    *,
    config: PreferenceConfig,
    record: Mapping[str, Any],
) -> None:
    """Writes the model with its adapter merged into the weights.

    Raises ValueError if the adapter belongs to other weights, OSError if the disk is full.
    """
    merged, tokenizer = Weights(model_name_or_path, adapter).load()
    draft = _draft(folder)
    merged.save_pretrained(draft)
    tokenizer.save_pretrained(draft)
    merged.generation_config.save_pretrained(draft)
    calibration = Calibration.of_model(resolved(model_name_or_path))
    if calibration is not None:  # the guard's thresholds go along, as the generation settings do
        calibration.write(draft)
    (draft / "README.md").write_text(card(config, record, merged=True), "utf-8")
    _put_in_place(draft, folder)


def plain_forward(model: Any) -> Any:
    """The model without the head that the trainer put on it."""
    model.__dict__.pop("forward", None)
    return model


def _draft(folder: Path) -> Path:
    draft = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    return draft


def _put_in_place(draft: Path, folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    os.replace(draft, folder)
