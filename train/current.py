"""The model that a run has come to, and how a promoted round moves it on."""

import shutil
from dataclasses import dataclass, replace
from pathlib import Path

from ..distill.run_folder import inside
from .gate_figures import GateFigures
from .preference_config import PreferenceConfig
from .preference_output import save_merged
from .preference_result import PreferenceResult
from .round_report import RoundReport
from .rounds_config import Promotion, RoundsConfig
from .weights import Weights


@dataclass(frozen=True, slots=True)
class Current:
    """The promoted model as it stands: what the next round begins with."""

    weights: Weights
    """The adapter is there only where promotion stacks."""

    figures: GateFigures
    """What the gate measured of it."""

    student: Path | None = None
    """The guard's detector, where it was distilled anew."""

    def to_train(self, training: PreferenceConfig, *, seed: int) -> PreferenceConfig:
        """The settings of a training with this model as policy and reference."""
        model, adapter = self.weights.model, self.weights.adapter
        return replace(
            training,
            model_name_or_path=model,
            adapter_name_or_path=None if adapter is None else str(adapter),
            seed=seed,
        )

    def after(self, report: RoundReport, config: RoundsConfig, folder: Path) -> "Current":
        """What the next round begins with: the model that the round in `folder` trained, merged if
        that has not been done yet, or this one where it was rejected.

        Raises OSError where the merged model cannot be written, and ValueError where a name in the
        folder leads out of it.
        """
        if not report.promoted:
            return self
        student = self.student if report.student is None else inside(folder, report.student)
        trained = inside(folder, "training/adapter")
        if not trained.exists():
            whole = Weights(str(inside(folder, "training/model")))
            return Current(whole, report.after, student)
        if config.promotion is Promotion.STACK:
            return Current(Weights(self.weights.model, trained), report.after, student)
        merged = inside(folder, "model")
        if not merged.exists():
            result = PreferenceResult.read(inside(folder, "training"))
            record = {} if result is None else result.record
            save_merged(self.weights.model, trained, merged, config=config.training, record=record)
            shutil.copy(trained / "README.md", merged / "README.md")
        return Current(Weights(str(merged)), report.after, student)
