"""One round: rollouts → cues → interventions → pairs → training → gate.

Every stage leaves a file in the round's folder that is there whole or not at all, so that a round
killed anywhere goes on where it was; `report.json` is the last and ends it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..distill.run_folder import inside, put_text, read_as, read_record, write_record
from ..guard.backend_transformers_identity import model_identity
from ..guard.pair_files import export_pairs, read_pairs
from ..guard.pairs import Pair
from ..guard.progress import progress
from .current import Current
from .gate import GateVerdict, decide
from .gate_figures import GateFigures
from .gate_measure import GateProbe, Told
from .pairing import PairingConfig, make_pairs, pairs_of_rollouts
from .preference import in_percent, train_preference
from .preference_card import card
from .preference_result import PreferenceResult
from .redistil import redistilled
from .rollout_run import run_rollouts
from .rollout_store import read_rollouts
from .rollouts import RolloutTools
from .round_report import RoundReport
from .round_tools import finder_of, generator_and_reader, judge_of, round_prompts
from .rounds_config import RoundsConfig
from .start import Start
from .trigger_sources import PoolSource
from .weights import Weights


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """A round to be run, from the model as it stands."""

    number: int
    """From 1 on; its seeds are drawn from it."""

    config: RoundsConfig
    probe: GateProbe
    """What the gate measures on, with the guard's detector as it stands."""

    start: Start
    current: Current
    folder: Path
    told: Told

    def run(self, extra: Sequence[Pair] = ()) -> RoundReport:
        """Runs what is still to be done; `extra` pairs are trained on beside those of the rollouts.

        Raises ValueError with a sentence for what cannot be: no pairs left, training that stopped,
        a record that is damaged. Nothing done is lost then.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        self.told("rolling out")
        rolled = self.roll_out()
        pairs = self.pair_up(extra)
        self.told(f"training on {len(pairs)} pairs")
        trained = self.train(pairs)
        measured = self.measure(trained)
        verdict = decide(self.start.figures, self.current.figures, measured, self.config.limits)
        write_record(self.folder / "verdict.json", verdict.to_row())
        self.told(f"{'promoted' if verdict.promoted else 'rejected'}: {verdict.reason}")
        self._write_card(trained, measured, verdict)
        student = None
        if verdict.promoted and self.config.redistil:
            self.told("distilling the guard's detector anew")
            student = redistilled(self.config, self.probe, self.folder, self.told)
        report = RoundReport(
            number=self.number,
            promoted=verdict.promoted,
            reason=verdict.reason,
            before=self.current.figures,
            after=measured,
            num_pairs=len(pairs),
            tokens_per_pair=rolled["harmful"]["tokens_per_pair"] if rolled else None,
            training_s=trained.seconds,
            student=None if student is None else student.name,
        )
        report.write(self.folder)
        return report

    @property
    def seed(self) -> int:
        """Of what is drawn in this round."""
        return self.config.seed * 1000 + self.number

    def roll_out(self) -> dict[str, Any]:
        """Rolls out what is still missing; gives the rollouts' report."""
        folder = inside(self.folder, "rollouts")
        done = folder / "report.json"
        if (report := read_record(done)) is not None:
            return report
        prompts = round_prompts(self.config, self.number)
        if not prompts:  # a watch whose pairs all come from the store
            return {}
        model, tokenizer = self.current.weights.load()
        generator, reader = generator_and_reader(model, tokenizer, self.config.batch_size)
        finder = finder_of(self.config, model, tokenizer)
        judge = judge_of(self.config.round_judge, self.config.model)
        write_record(self.folder / "writer.json", {"model": model_identity(model)})
        with progress("Rolling out", len(prompts)) as advance:
            run_rollouts(
                folder,
                prompts,
                RolloutTools(generator, reader, finder, PoolSource(), judge),
                replace(self.config.rollouts, seed=self.seed),
                model=model_identity(model),
                progress=lambda num: [advance() for _ in range(num)],
            )
        return read_record(done) or {}

    def pair_up(self, extra: Sequence[Pair] = ()) -> list[Pair]:
        """The round's pairs, as `pairs.jsonl` keeps them."""
        path = inside(self.folder, "pairs.jsonl")
        if not path.exists():
            written_by = read_as(self.folder / "writer.json", lambda record: str(record["model"]))
            rolled = inside(self.folder, "rollouts")
            found = pairs_of_rollouts(
                read_rollouts(rolled) if rolled.exists() else (),
                written_by or self.current.weights.model,
            )
            settings = PairingConfig(
                harmless_ratio=self.config.harmless_ratio, seed=self.config.seed
            )
            pairing = make_pairs([*extra, *found], settings)
            record = {"kept": pairing.counts, "left_out": pairing.left_out}
            write_record(self.folder / "pairs.json", record)
            export_pairs(pairing.pairs, path)
        return list(read_pairs(path))

    def train(self, pairs: Sequence[Pair]) -> PreferenceResult:
        """Trains from the current model: it is the reference too."""
        settings = self.current.to_train(self.config.training, seed=self.seed)
        with progress("Training", 100) as advance:
            folder = inside(self.folder, "training")
            return train_preference(settings, pairs, folder, in_percent(advance))

    def measure(self, trained: PreferenceResult) -> GateFigures:
        """The trained model's figures."""
        weights = Weights.trained(self.current.weights.model, trained.trained)
        path = self.folder / "figures.json"
        return self.start.compared(weights, self.probe, path, self.told)

    def _write_card(
        self, trained: PreferenceResult, measured: GateFigures, verdict: GateVerdict
    ) -> None:
        """The model card again, now with what the gate measured."""
        settings = self.current.to_train(self.config.training, seed=self.config.seed)
        figures = RoundReport.compared(self.current.figures, measured)
        outcome = "Promoted" if verdict.promoted else "Rejected"
        text = card(settings, trained.record, figures=figures) + f"\n{outcome}: {verdict.reason}.\n"
        put_text(trained.trained / "README.md", text)
