"""The model card of what a training run leaves behind: method, data, settings, figures."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .preference_config import Arm, PreferenceConfig

_METHODS = {
    Arm.INTERVENED: "Intervened preference optimization (arXiv 2509.24393): a sigmoid preference "
    "loss over the tokens from the divergence on, where a safety trigger took the place of the "
    "first step that goes along with something harmful, plus a small likelihood term.",
    Arm.WHOLE: "Direct preference optimization over whole responses.",
    Arm.SFT: "Supervised fine-tuning on intervened traces.",
    Arm.GRPO: "Group-relative policy optimization with a safety reward.",
}
_SHOWN = (
    "beta",
    "sft_weight",
    "learning_rate",
    "num_train_epochs",
    "per_device_train_batch_size",
    "gradient_accumulation_steps",
    "lora_r",
    "lora_alpha",
    "max_length",
    "first_tokens",
    "seed",
)


def card(
    config: PreferenceConfig,
    record: Mapping[str, Any],
    *,
    merged: bool = False,
    figures: Mapping[str, Any] | None = None,
) -> str:
    """The card as Markdown; `record` is the run's `result.json`, `figures` what a gate measured,
    as name → (before, after)."""
    name = Path(config.model_name_or_path).name or config.model_name_or_path
    has_adapter = config.use_peft and not merged
    lines = ["---", "library_name: " + ("peft" if has_adapter else "transformers")]
    lines += ["tags:", "- rerail", "- safety", "- reasoning", "- trl", "---", ""]
    lines += [f"# {name}, trained with rerail", ""]
    if has_adapter:
        lines += [f"A LoRA adapter over `{config.model_name_or_path}`.", ""]
    elif merged:
        lines += [f"`{config.model_name_or_path}` with its adapter merged in.", ""]
    lines += ["## Method", "", _METHODS[config.arm], "", "| setting | value |", "|---|---|"]
    lines += [f"| {setting} | {getattr(config, setting)} |" for setting in _SHOWN]
    lines += ["", "## Data", ""]
    lines += [f"{record.get('num_pairs', 'an unknown number of')} preference pairs."]
    lines += [f"- {number} left out: {why}" for why, number in record.get("left_out", {}).items()]
    lines += ["", "## Training", ""]
    if "num_steps" in record:
        lines += [
            f"{record['num_steps']} steps in {record['seconds']:.0f} s "
            f"({record['pairs_per_s']:.1f} pairs/s), mean loss {record['loss']:.4f}."
        ]
    if figures:
        lines += ["", "## Figures", "", "| figure | before | after |", "|---|---|---|"]
        lines += [
            f"| {what} | {_shown(before)} | {_shown(after)} |"
            for what, (before, after) in figures.items()
        ]
    else:
        lines += ["", "Not evaluated yet: `rerail train gate` measures it."]
    return "\n".join([*lines, ""])


def _shown(value: Any) -> str:
    return "not measured" if value is None else f"{value:.4g}"
