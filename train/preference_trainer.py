"""TRL's DPOTrainer on rows of token ids: our layouts and loss, no NaN.

What is TRL's and transformers': the policy and its adapter, the reference (adapter switched off, or
its frozen copy `ref`), the head that never builds whole logits, steps, schedules, checkpoints and
everything distributed. What is replaced: tokenising, the forward pass over the pairs, and prints.
"""

import contextlib
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader
from trl.trainer.dpo_trainer import DPOTrainer
from trl.trainer.utils import use_adapter

from .preference_checkpoints import TrainingStopped, WholeCheckpoints
from .preference_loss import (
    CHOSEN,
    SideLogps,
    likelihood_loss,
    margins,
    preference_loss,
    side_logps,
)

_INPUTS = ("input_ids", "attention_mask", "position_ids")


class PreferenceTrainer(WholeCheckpoints, DPOTrainer):
    """Trains on a data set with the columns `row`, `prompt_ids`, `chosen_ids`, `rejected_ids`."""

    def __init__(self, *, loss: dict[str, float], **options: Any) -> None:
        self.terms = loss
        super().__init__(**options)

    def _prepare_dataset(self, dataset: Any, *_: Any, **__: Any) -> Any:
        return dataset  # ids as they were logged: never tokenised again, nothing appended

    def _precompute_ref_logps(self, dataset: Any, name: str, batch_size: int) -> Any:
        """Each pair once, however many epochs see it."""
        if "sigmoid" not in self.terms:
            return dataset
        first: dict[int, int] = {}
        for index, row in enumerate(dataset["row"]):
            first.setdefault(row, index)
        unique = dataset.select(list(first.values()))
        loader = self.accelerator.prepare(
            DataLoader(unique, batch_size=batch_size, collate_fn=self.data_collator, shuffle=False)
        )
        chosen, rejected = [], []
        for batch in loader:
            gathered: Any = self.accelerator.gather_for_metrics(
                self.compute_ref_log_probs(self.ref_model or self.model, batch)
            )
            chosen += gathered[0].tolist()
            rejected += gathered[1].tolist()
        number = {row: index for index, row in enumerate(first)}
        rows = [number[row] for row in dataset["row"]]
        dataset = dataset.add_column("ref_chosen_logps", [chosen[row] for row in rows])
        return dataset.add_column("ref_rejected_logps", [rejected[row] for row in rows])

    def compute_ref_log_probs(self, model: Any, inputs: Any) -> tuple[Tensor, Tensor]:
        """The reference's sums over both sides, (pairs,) each, without gradients."""
        context: Any = contextlib.nullcontext()
        if self.ref_model is None and hasattr(self._bare_model(), "peft_config"):
            bare = self._bare_model()
            context = use_adapter(bare, "ref" if "ref" in bare.peft_config else None)
        training = model.training
        model.eval()
        with torch.no_grad(), context, self.accelerator.autocast():
            found = self._logps(model, inputs)
        model.train(training)
        return found.chosen, found.rejected

    def _compute_loss(self, model: Any, inputs: Any, return_outputs: bool) -> Any:
        policy = self._logps(model, inputs)
        loss = policy.chosen.new_zeros(())
        if "sigmoid" in self.terms:
            reference = self._reference(inputs)
            loss = loss + self.terms["sigmoid"] * preference_loss(policy, reference, self.beta)
            self._note(policy, reference)
        if "sft" in self.terms:
            # The mean over the chosen tokens of all processes: however they are split, one loss.
            # The processes' gradients are averaged afterwards, hence the mean over them.
            tokens = (inputs["branch"] == CHOSEN).sum().float()
            mean: Any = self.accelerator.reduce(tokens, reduction="mean")
            loss = loss + self.terms["sft"] * likelihood_loss(policy, mean)
        self._stop_unless_finite(loss.detach(), "loss")
        return (loss, None) if return_outputs else loss

    def _reference(self, inputs: Any) -> SideLogps:
        if "ref_chosen_logps" in inputs:
            return SideLogps(inputs["ref_chosen_logps"], inputs["ref_rejected_logps"])
        return SideLogps(*self.compute_ref_log_probs(self.ref_model or self.model, inputs))

    def _logps(self, model: Any, inputs: Any) -> SideLogps:
        given = {name: inputs[name] for name in _INPUTS if name in inputs}
        mask = given["attention_mask"]
        if mask.ndim == 4 and mask.is_floating_point():
            given["attention_mask"] = mask.to(self._bare_model().dtype)
        output = model(**given, shift_labels=inputs["labels"], fused_lm_head=True, use_cache=False)
        branch = inputs["branch"]
        num_pairs = len(branch) if mask.ndim == 4 else len(branch) // 2
        return side_logps(output.log_probs.float(), branch, num_pairs)

    def _note(self, policy: SideLogps, reference: SideLogps) -> None:
        gaps: Any = self.accelerator.gather(margins(policy, reference).detach())
        notes = self._metrics["train" if self._bare_model().training else "eval"]
        notes["rewards/margins"].append(self.beta * gaps.mean().item())
        notes["rewards/accuracies"].append((gaps > 0).float().mean().item())

    def _stop_unless_finite(self, value: Tensor, what: str) -> None:
        everywhere: Any = self.accelerator.gather(value.reshape(1))
        if not bool(torch.isfinite(everywhere).all()):
            raise TrainingStopped(
                f"the {what} is no longer a number at step {self.state.global_step + 1}"
            )
