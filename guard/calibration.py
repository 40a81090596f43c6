"""Thresholds that a model brings along: measured on its own traces, for one detector.

How surely a detector tells apart what a model writes differs from model to model. A model's folder
may therefore hold `guard_config.json`, as it holds `generation_config.json`: the detector it was
calibrated with, thresholds by channel, and how sure it must be of a request. `rerail eval
thresholds --write FOLDER` makes it.
"""

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

from .channels import Channel
from .detector import Threshold, Thresholds
from .json_text import json_of

logger = logging.getLogger(__name__)

FILE = "guard_config.json"
"""Its name in a model's folder."""


class CalibrationError(ValueError):
    """A `guard_config.json` cannot be read; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """Thresholds of one detector on one model's traces."""

    detector: str
    """Identity of the detector; with another one they mean nothing."""

    thresholds: Mapping[Channel, Threshold]
    """By channel; the detector's own hold in those that are missing."""

    request: float | None = None
    """Belief that the conversation asks for harm, 0..1, from which the detector's steps can count;
    None for a detector that does not judge requests, or where too little was there to tell."""

    def __post_init__(self) -> None:
        if self.request is not None and not 0.0 < self.request < 1.0:
            raise ValueError(f"request is {self.request}: give a number between 0 and 1")

    @classmethod
    def of_model(cls, model: str | Path) -> Self | None:
        """What the model in this folder brings; `None` for a hub name, or if there is nothing.

        Raises `CalibrationError` for a file that cannot be read.
        """
        path = Path(model) / FILE
        if not path.is_file():
            return None
        try:
            return cls.from_json(json_of(path.read_text(encoding="utf-8")))
        except (OSError, KeyError, TypeError, ValueError, AttributeError) as error:
            raise CalibrationError(
                f"{path} cannot be read ({error!r}): remove it, or write it again with "
                "rerail eval thresholds --write"
            ) from error

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """From the file's content. Raises KeyError, TypeError or ValueError if something is off."""
        thresholds = {
            Channel(name): Threshold(float(pair["inside"]), float(pair["end"]))
            for name, pair in data["thresholds"].items()
        }
        request = data.get("request")
        return cls(str(data["detector"]), thresholds, None if request is None else float(request))

    def to_json(self) -> dict[str, Any]:
        """What `from_json` reads."""
        request = {} if self.request is None else {"request": self.request}
        return {
            "detector": self.detector,
            **request,
            "thresholds": {
                channel.value: {"inside": each.inside, "end": each.end}
                for channel, each in self.thresholds.items()
            },
        }

    def write(self, folder: Path) -> Path:
        """Writes the file into a model's folder. Raises OSError where that cannot be."""
        path = folder / FILE
        partial = path.with_suffix(".partial")
        partial.write_text(json.dumps(self.to_json(), indent=1) + "\n", encoding="utf-8")
        partial.replace(path)
        return path

    def over(self, detector: str, own: Thresholds) -> Thresholds:
        """The thresholds in force for this detector; its own ones if it is another."""
        if detector != self.detector:
            logger.warning(
                "%s was written for the detector %s: the own thresholds of %s are used; "
                "calibrate again with rerail eval thresholds --write",
                FILE, self.detector, detector,
            )  # fmt: skip
            return own
        chosen = {channel.value: each for channel, each in self.thresholds.items()}
        return replace(own, **chosen)
