"""What a preference training run is told; the flags that TRL has carry TRL's names.

IPO of arXiv 2509.24393 is a sigmoid DPO loss on intervened pairs, not TRL's `loss_type="ipo"`. The
paper does not give beta, learning rate or the adapter's size: the defaults here are starting
points for small models; with few pairs take more steps (a smaller batch, more epochs) or a higher
rate: 15 steps of 16 pairs hardly move the sandbox model.
"""

from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, Literal


class Arm(StrEnum):
    """What is learned from the pairs; all but the first are there to compare with."""

    INTERVENED = "intervened"
    """Preference over the tokens from the divergence on: cue against trigger."""
    WHOLE = "whole"
    """Preference over whole responses; only the request counts as the prompt."""
    SFT = "sft"
    """Likelihood of the whole intervened responses alone."""
    GRPO = "grpo"
    """TRL's GRPO on the pairs' requests, rewarded for safety (preference_grpo.py)."""


class Layout(StrEnum):
    """How a pair becomes rows of tokens."""

    SHARED = "shared"
    """The shared prefix once, both sides after it in one row, kept apart by the attention mask:
    the same loss and gradients, without the prefix's second half of the work."""
    PLAIN = "plain"
    """Prefix and side in a row each, as in TRL: for attention that takes no mask of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PreferenceConfig:
    """One training run."""

    model_name_or_path: str = "sandbox"
    """The model to train: a folder, a hub name, or `sandbox`. From round 2 on the promoted one: the
    reference is this model, with `adapter_name_or_path` if given, as it is before training."""

    adapter_name_or_path: str | None = None
    """A LoRA adapter over that model to go on training; its frozen copy is the reference."""

    arm: Arm = Arm.INTERVENED
    """What is learned from the pairs."""

    use_peft: bool = True
    """Train a LoRA adapter; else all weights."""

    lora_r: int = 16
    """Rank of the adapter."""

    lora_alpha: int = 32
    """Scale of the adapter: alpha / r."""

    lora_dropout: float = 0.0
    """Dropout in the adapter; above 0, pairs are seen with different masks on each side."""

    lora_target_modules: tuple[str, ...] = ("all-linear",)
    """Names of the layers that get an adapter; `all-linear` is every one but the head."""

    beta: float = 0.1
    """How dear it is to leave the reference; lower moves further."""

    sft_weight: float = 0.2
    """Weight of the chosen side's mean negative log-likelihood beside the preference loss, as in
    RPO; the paper's coefficient by one source."""

    learning_rate: float = 5e-4
    """Peak rate. Adapters of small models take 1e-4 to 1e-3; whole weights 1e-6 to 1e-5."""

    lr_scheduler_type: str = "cosine"
    """As transformers names them."""

    warmup_steps: int = 5
    """Steps over which the rate rises from 0; a tenth of all at most."""

    max_grad_norm: float = 1.0
    """Gradients are scaled down to this norm."""

    num_train_epochs: float = 2.0
    """Times that each pair is seen."""

    max_steps: int | None = None
    """Stop after so many steps, whatever the epochs say."""

    per_device_train_batch_size: int = 16
    """Pairs in a process at once."""

    gradient_accumulation_steps: int = 1
    """Batches to a step."""

    max_length: int | None = 1024
    """Tokens of prefix and one side together; the side's end is cut, and a pair whose prefix alone
    is longer is left out and counted."""

    first_tokens: int | None = None
    """Train on so many tokens of each side only, from the divergence on."""

    layout: Layout | None = None
    """By default shared where the model's attention takes a mask, else plain."""

    precompute_ref_log_probs: bool = True
    """Ask the reference once for each pair, not once an epoch; then it needs no memory later."""

    gradient_checkpointing: bool = False
    """Less memory for about a third more work."""

    bf16: bool = False
    """Compute in bfloat16 where the weights are float32."""

    dtype: Literal["float32", "bfloat16"] | None = None
    """What the weights are loaded in; by default as they were saved."""

    save_steps: int = 50
    """Steps between checkpoints; the last two are kept."""

    logging_steps: int = 5
    """Steps between two lines of the log."""

    seed: int = 0
    """Of the adapter's first weights and of the order of the pairs."""

    use_cpu: bool = False
    """Leave an accelerator alone."""

    grpo_num_generations: int = 8
    """Completions for each prompt (GRPO)."""

    grpo_max_completion_length: int = 320
    """Tokens of a completion (GRPO)."""

    def __post_init__(self) -> None:
        positive = (
            "lora_r",
            "lora_alpha",
            "beta",
            "learning_rate",
            "num_train_epochs",
            "per_device_train_batch_size",
            "gradient_accumulation_steps",
            "save_steps",
            "logging_steps",
            "max_grad_norm",
        )
        for name in positive:
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} is {getattr(self, name)}: give a number above 0")
        for name in ("max_steps", "max_length", "first_tokens"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name} is {value}: give at least 1, or leave it out")
        if self.sft_weight < 0:
            raise ValueError(f"sft_weight is {self.sft_weight}: give 0 or more")
        if not 0 <= self.lora_dropout < 1:
            raise ValueError(f"lora_dropout is {self.lora_dropout}: give 0 or more, below 1")
        if self.grpo_num_generations < 2:
            raise ValueError("grpo_num_generations is below 2: a group of one has no better half")
        if self.adapter_name_or_path is not None and not self.use_peft:
            raise ValueError(
                "adapter_name_or_path goes on training an adapter: leave use_peft on, or merge the "
                "adapter into the model first"
            )

    @property
    def loss_types(self) -> dict[str, float]:
        """TRL's names of the loss' terms and their weights."""
        if self.arm is Arm.SFT:
            return {"sft": 1.0}
        return {"sigmoid": 1.0} | ({"sft": self.sft_weight} if self.sft_weight else {})

    def as_record(self) -> dict[str, Any]:
        """As JSON keeps it."""
        return asdict(self)
