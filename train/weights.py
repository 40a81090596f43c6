"""Weights to load: a model by itself, or with an adapter over it that is merged in memory."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from ..guard.backend_transformers_loading import load
from .preference_models import resolved, with_adapter


@dataclass(frozen=True, slots=True)
class Weights:
    """What stands for one model, and is cheap to pass around until it is loaded."""

    model: str
    """Folder or name of the weights to load; `sandbox` for the embedded ones."""

    adapter: Path | None = None
    """Over these weights."""

    @classmethod
    def trained(cls, model: str, folder: Path) -> Self:
        """What training from `model` left in `folder`: an adapter over it, or all weights."""
        if (folder / "adapter_config.json").exists():
            return cls(model, folder)
        return cls(str(folder))

    def load(self) -> tuple[Any, Any]:
        """Model and tokenizer, the adapter merged in memory.

        Raises FileNotFoundError, ValueError or OSError with a sentence for what cannot be loaded,
        and ValueError for an adapter that was made for other weights.
        """
        model, tokenizer = load(resolved(self.model))
        if self.adapter is not None:
            model = with_adapter(model, self.adapter).merge_and_unload()
        return model, tokenizer
