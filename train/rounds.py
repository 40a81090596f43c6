"""Rounds: each begins with what the gate promoted before it, over and over.

A run is a folder with one folder a round, and goes on where it was. A round that is rejected
changes nothing: the next one begins with the same model and other prompts.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from ..distill.run_folder import check_config, inside
from ..distill.stages import encoder_folder
from .current import Current
from .gate_measure import GateProbe, Told
from .redistil import encoder_of
from .round import Round
from .round_report import RoundReport, write_summary
from .round_tools import distilled_detector, probe_of, shipped_student
from .rounds_config import RoundsConfig
from .start import Start
from .weights import Weights


def run_rounds(
    config: RoundsConfig, out: Path, *, told: Told = lambda _: None
) -> list[RoundReport]:
    """Runs the rounds that are still to be done; gives the reports of all.

    Raises ValueError with a sentence for what cannot be: an unusable model or prompt file, a folder
    of a run with other settings, no pairs left, training that stopped. Nothing done is lost then.
    """
    run = RoundsRun.begun(config, out, told)
    current = run.first
    reports: list[RoundReport] = []
    for number in range(1, config.rounds + 1):
        folder = run.folder(number)
        report = RoundReport.read(folder)
        if report is None:
            told(f"round {number} of {config.rounds}")
            report = run.round(number, current).run()
        current = current.after(report, config, folder)
        reports.append(report)
        write_summary(out, run.start.figures, reports)
    return reports


@dataclass(frozen=True, slots=True)
class RoundsRun:
    """A run's folder, and what is the same in all its rounds."""

    config: RoundsConfig
    out: Path
    start: Start
    told: Told
    probe: GateProbe

    @classmethod
    def begun(cls, config: RoundsConfig, out: Path, told: Told) -> Self:
        """Begins a run, or goes on with the one in `out`: the first model is measured once.

        Raises ValueError for a folder of a run with other settings, and for an unusable model,
        prompt file or sentence encoder.
        """
        if config.redistil:  # not to be found missing after a round of hours
            encoder_folder(encoder_of(config))
        out.mkdir(parents=True, exist_ok=True)
        check_config(out, config.as_record())
        probe = probe_of(config, shipped_student(config.model))
        return cls(config, out, Start.measured(config.model, probe, out, told), told, probe)

    @property
    def first(self) -> Current:
        """The model that the first round begins with."""
        return Current(Weights(self.config.model), self.start.figures)

    def folder(self, number: int) -> Path:
        """Of round `number`, from 1 on. Raises ValueError for a link that leads out of the run."""
        return inside(self.out, f"round-{number}")

    def round(self, number: int, current: Current) -> Round:
        """Round `number`, from `current` on and guarded by the detector distilled last."""
        probe = self.probe
        if current.student is not None:
            probe = replace(probe, detector=distilled_detector(current.student))
        return Round(
            number=number,
            config=self.config,
            probe=probe,
            start=self.start,
            current=current,
            folder=self.folder(number),
            told=self.told,
        )
