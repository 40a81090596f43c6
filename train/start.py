"""The model that a run begins with, and what every later one is measured against."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

from ..distill.run_folder import read_as, write_record
from ..guard.backend_transformers_identity import model_identity
from .gate_figures import GateFigures
from .gate_measure import GateProbe, Sequences, Told, measure
from .weights import Weights

FILE = "start.json"
"""In the run's folder."""


@dataclass(frozen=True, slots=True)
class Start:
    """The run's base, measured once a run."""

    model: str
    """Folder or name of its weights."""

    figures: GateFigures
    wrote: tuple[Sequences, ...]
    """Its own harmless traces, for the divergence."""

    @classmethod
    def measured(cls, model: str, probe: GateProbe, out: Path, told: Told) -> Self:
        """As `start.json` in the run's folder `out` has it, which is written if it is not there.

        Raises ValueError for a file that is damaged, and what loading the model raises.
        """
        path = out / FILE
        if not path.exists():
            told("measuring the model that the run begins with")
            loaded, tokenizer = Weights(model).load()
            found = measure(probe, loaded, tokenizer, told=told)
            record = {
                "figures": replace(found.figures, kl=0.0).to_row(),
                "wrote": found.harmless,
                "model": model_identity(loaded),
            }
            write_record(path, record)
        start = read_as(path, lambda record: cls._read(model, record))
        assert start is not None
        return start

    @classmethod
    def _read(cls, model: str, record: Mapping[str, Any]) -> Self:
        wrote = tuple((tuple(prompt), tuple(own)) for prompt, own in record["wrote"])
        return cls(model, GateFigures.from_row(record["figures"]), wrote)

    def compared(self, trained: Weights, probe: GateProbe, path: Path, told: Told) -> GateFigures:
        """The figures of a trained model, with its divergence from this one.

        The record at `path` has them once they are measured. Raises as `measured` does.
        """
        if (figures := read_as(path, GateFigures.from_row)) is not None:
            return figures
        base, _ = Weights(self.model).load()
        model, tokenizer = trained.load()
        found = measure(probe, model, tokenizer, base=base, base_wrote=self.wrote, told=told)
        write_record(path, found.figures.to_row())
        return found.figures
