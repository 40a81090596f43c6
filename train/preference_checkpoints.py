"""What all arms' trainers do otherwise than TRL's: checkpoints that are whole or not there, no
telemetry, no card of TRL's; and what a training says that cannot go on."""

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..distill.run_folder import inside

if TYPE_CHECKING:
    from transformers import Trainer as _Trainer
else:
    _Trainer = object

WHOLE = "whole"
"""The file that says that a checkpoint was written to its end."""


class TrainingStopped(ValueError):
    """Training could not go on; the message says what is kept and what to try."""


def last_checkpoint(folder: Path) -> Path | None:
    """The last checkpoint that was written to its end; what lies there half written goes.

    Raises ValueError for one that is a link out of the folder.
    """
    whole: list[Path] = []
    for found in folder.glob("checkpoint-*"):
        checkpoint = inside(folder, found.name)
        if (checkpoint / WHOLE).exists():
            whole.append(checkpoint)
        else:
            shutil.rmtree(checkpoint, ignore_errors=True)
    return max(whole, key=steps_of, default=None)


def steps_of(checkpoint: Path) -> int:
    """The steps that had been done when it was written."""
    return int(checkpoint.name.rpartition("-")[2])


class WholeCheckpoints(_Trainer):
    """For any of TRL's trainers, before it among the bases."""

    def _send_telemetry(self) -> None:
        pass

    def create_model_card(self, *_: Any, **__: Any) -> None:
        """None: `preference_output` writes one with figures."""

    def _bare_model(self) -> Any:
        return self.accelerator.unwrap_model(self.model)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        # With a second adapter (`ref`) in the checkpoint transformers 5.19 loads that one only and
        # goes on with the first as it was at the start.
        bare = self._bare_model()
        if "ref" in getattr(bare, "peft_config", {}) and not self.is_fsdp_enabled:
            bare.load_adapter(resume_from_checkpoint, "default", is_trainable=True)
            bare.set_adapter("default")
        else:
            super()._load_from_checkpoint(resume_from_checkpoint, model)

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        folder = Path(str(self.args.output_dir)) / f"checkpoint-{self.state.global_step}"
        try:
            super()._save_checkpoint(model, trial)
            if self.args.should_save:
                (folder / WHOLE).write_text("", "utf-8")
        except Exception as error:  # torch and safetensors have types of their own for a full disk
            shutil.rmtree(folder, ignore_errors=True)
            reason = getattr(error, "strerror", None) or str(error).splitlines()[0]
            raise TrainingStopped(f"the checkpoint {folder} cannot be written: {reason}") from error
