"""What a training run left behind, as `result.json` in its folder keeps it."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from ..distill.run_folder import inside, read_as, write_record

FILE = "result.json"
"""In a training's folder; there once the training is over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PreferenceResult:
    """A training that is over."""

    folder: Path

    trained: Path
    """The adapter's folder, or the model's where all weights were trained."""

    num_pairs: int
    left_out: dict[str, int]
    """Pairs that could not be trained on, by reason."""

    from_text: int
    """Pairs without token ids, which were tokenised from their text."""

    cut: int
    """Pairs of which a side was longer than the settings allow."""

    num_steps: int
    loss: float
    """The mean over the steps."""

    seconds: float
    """Of the training itself, of the last of several runs where it was resumed."""

    pairs_per_s: float
    layout: str
    """Of the rows, see `Layout`; `generated` where the arm writes its own."""

    @property
    def record(self) -> dict[str, Any]:
        """As JSON keeps it: with the name of what was trained, since a folder may be moved."""
        return asdict(self) | {"folder": None, "trained": self.trained.name}

    def write(self) -> None:
        """Puts `result.json` in place, which ends the training."""
        write_record(self.folder / FILE, self.record)

    @classmethod
    def read(cls, folder: Path) -> Self | None:
        """The folder's result, or None for a training that is not over.

        Raises ValueError for one that is damaged, or that names weights outside the folder.
        """

        def made(record: Mapping[str, Any]) -> Self:
            trained = inside(folder, record["trained"])
            return cls(**{**record, "folder": folder, "trained": trained})

        return read_as(folder / FILE, made)
