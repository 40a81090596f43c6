"""Rounds: rollouts → cues → interventions → pairs → training → gate → promotion, and again.

A run is a folder with one folder a round; every stage leaves a file that is there whole or not at
all, so that a run killed anywhere goes on where it was. A round that is rejected changes nothing:
the next one begins with the same model and other prompts.
"""

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..guard.backend_transformers_identity import model_identity
from ..guard.backend_transformers_loading import load
from ..guard.pair_files import export_pairs, read_pairs
from ..guard.pairs import Pair
from ..guard.progress import progress
from .gate import GateVerdict, decide
from .gate_figures import GateFigures
from .gate_measure import GateProbe, Measured, Sequences, measure
from .pairing import PairingConfig, make_pairs, pairs_of_rollouts
from .preference import PreferenceResult, in_percent, train_preference
from .preference_card import card
from .preference_config import PreferenceConfig
from .preference_models import resolved, with_adapter
from .preference_output import save_merged
from .redistil import redistilled
from .rollout_run import run_rollouts
from .rollout_store import read_rollouts
from .rollouts import RolloutTools
from .round_report import RoundReport, write_summary
from .round_tools import (
    distilled_detector,
    finder_of,
    generator_and_reader,
    judge_of,
    probe_of,
    round_prompts,
    shipped_student,
)
from .rounds_config import Promotion, RoundsConfig
from .run_folder import check_config, read_record, write_record
from .trigger_sources import PoolSource

Told = Callable[[str], None]
"""Hears one sentence for each stage."""


@dataclass(frozen=True, slots=True)
class Current:
    """The promoted model as it stands: what the next round begins with."""

    model: str
    """Folder or name of the weights to load."""

    adapter: Path | None
    """Over these weights, where promotion stacks."""

    figures: GateFigures
    student: Path | None = None
    """The guard's detector, where it was distilled anew."""

    def load(self) -> tuple[Any, Any]:
        """Model and tokenizer, the adapter merged in memory."""
        model, tokenizer = load(resolved(self.model))
        if self.adapter is not None:
            model = with_adapter(model, self.adapter).merge_and_unload()
        return model, tokenizer


@dataclass(frozen=True, slots=True)
class Start:
    """The run's base: what every later model is compared with."""

    figures: GateFigures
    wrote: tuple[Sequences, ...]
    """Its own harmless traces, for the divergence."""


def run_rounds(
    config: RoundsConfig, out: Path, *, told: Told = lambda _: None
) -> list[RoundReport]:
    """Runs the rounds that are still to be done; gives the reports of all.

    Raises ValueError with a sentence for what cannot be: an unusable model or prompt file, a folder
    of a run with other settings, no pairs left, training that stopped. Nothing done is lost then.
    """
    out.mkdir(parents=True, exist_ok=True)
    check_config(out, config.as_record())
    probe = probe_of(config, shipped_student(config.model))
    start = measure_start(config, probe, out / "start.json", told)
    current = Current(config.model, None, start.figures)
    reports: list[RoundReport] = []
    for number in range(1, config.rounds + 1):
        folder = out / f"round-{number}"
        report = RoundReport.read(folder)
        if report is None:
            told(f"round {number} of {config.rounds}")
            report = run_round(number, config, probe, start, current, folder, told)
        current = after(report, current, config, folder)
        if current.student is not None:
            probe = replace(probe, detector=distilled_detector(current.student))
        reports.append(report)
        write_summary(out, start.figures, reports)
    return reports


def run_round(
    number: int,
    config: RoundsConfig,
    probe: GateProbe,
    start: Start,
    current: Current,
    folder: Path,
    told: Told,
    extra: Sequence[Pair] = (),
) -> RoundReport:
    """One round from the current model; the report is the last thing that it writes. `extra` pairs
    are trained on beside those of the rollouts."""
    folder.mkdir(parents=True, exist_ok=True)
    told("rolling out")
    rolled = roll_out_round(number, config, current, folder)
    pairs = pair_up(config, current, folder, extra)
    told(f"training on {len(pairs)} pairs")
    trained = train_round(number, config, current, pairs, folder)
    measured = measure_round(config, probe, start, current, trained, folder, told)
    verdict = decide(start.figures, current.figures, measured, config.limits)
    write_record(folder / "verdict.json", verdict.to_row())
    told(f"{'promoted' if verdict.promoted else 'rejected'}: {verdict.reason}")
    _write_cards(config, current, trained, measured, verdict, folder)
    student = None
    if verdict.promoted and config.redistil:
        told("distilling the guard's detector anew")
        student = redistilled(config, probe, folder)
    report = RoundReport(
        number=number,
        promoted=verdict.promoted,
        reason=verdict.reason,
        before=current.figures,
        after=measured,
        num_pairs=len(pairs),
        tokens_per_pair=rolled["harmful"]["tokens_per_pair"] if rolled else None,
        training_s=trained.seconds,
        student=None if student is None else student.name,
    )
    report.write(folder)
    return report


def measure_start(config: RoundsConfig, probe: GateProbe, path: Path, told: Told) -> Start:
    """The base's figures, measured once a run."""
    record = read_record(path)
    if record is None:
        told("measuring the model that the run begins with")
        model, tokenizer = load(resolved(config.model))
        measured = measure(probe, model, tokenizer, told=told)
        own = replace(measured.figures, kl=0.0)
        record = {
            "figures": own.to_row(),
            "wrote": measured.harmless,
            "model": model_identity(model),
        }
        write_record(path, record)
        record = read_record(path) or {}
    wrote = tuple((tuple(prompt), tuple(own)) for prompt, own in record["wrote"])
    return Start(GateFigures.from_row(record["figures"]), wrote)


def roll_out_round(
    number: int, config: RoundsConfig, current: Current, folder: Path
) -> dict[str, Any]:
    """Rolls out what is still missing; gives the rollouts' report."""
    done = folder / "rollouts" / "report.json"
    if (report := read_record(done)) is not None:
        return report
    settings = replace(config.rollouts, seed=config.seed * 1000 + number)
    prompts = round_prompts(config, number)
    if not prompts:  # a watch whose pairs all come from the store
        return {}
    model, tokenizer = current.load()
    generator, reader = generator_and_reader(model, tokenizer, config.batch_size)
    finder = finder_of(config, model, tokenizer)
    judge = judge_of(config.round_judge, config.model)
    tools = RolloutTools(generator, reader, finder, PoolSource(), judge)
    write_record(folder / "writer.json", {"model": model_identity(model)})
    with progress("Rolling out", len(prompts)) as advance:
        run_rollouts(
            folder / "rollouts",
            prompts,
            tools,
            settings,
            model=model_identity(model),
            progress=lambda num: [advance() for _ in range(num)] and None,
        )
    return read_record(done) or {}


def pair_up(
    config: RoundsConfig, current: Current, folder: Path, extra: Sequence[Pair] = ()
) -> list[Pair]:
    """The round's pairs, as `pairs.jsonl` keeps them."""
    path = folder / "pairs.jsonl"
    if not path.exists():
        writer = (read_record(folder / "writer.json") or {"model": current.model})["model"]
        rolled = folder / "rollouts"
        found = pairs_of_rollouts(read_rollouts(rolled) if rolled.exists() else (), writer)
        settings = PairingConfig(harmless_ratio=config.harmless_ratio, seed=config.seed)
        pairing = make_pairs([*extra, *found], settings)
        write_record(folder / "pairs.json", {"kept": pairing.counts, "left_out": pairing.left_out})
        export_pairs(pairing.pairs, path)
    return list(read_pairs(path))


def train_round(
    number: int, config: RoundsConfig, current: Current, pairs: list[Pair], folder: Path
) -> PreferenceResult:
    """Trains from the current model: it is the reference too."""
    settings = training_settings(config.training, current, seed=config.seed * 1000 + number)
    with progress("Training", 100) as advance:
        return train_preference(settings, pairs, folder / "training", in_percent(advance))


def training_settings(
    training: PreferenceConfig, current: Current, *, seed: int
) -> PreferenceConfig:
    """With the current model as policy and reference."""
    adapter = None if current.adapter is None else str(current.adapter)
    return replace(
        training, model_name_or_path=current.model, adapter_name_or_path=adapter, seed=seed
    )


def measure_round(
    config: RoundsConfig,
    probe: GateProbe,
    start: Start,
    current: Current,
    trained: PreferenceResult,
    folder: Path,
    told: Told,
) -> GateFigures:
    """The trained model's figures."""
    path = folder / "figures.json"
    if (record := read_record(path)) is not None:
        return GateFigures.from_row(record)
    base, _ = load(resolved(config.model))
    model, tokenizer = load_trained(current, trained)
    measured: Measured = measure(
        probe, model, tokenizer, base=base, base_wrote=start.wrote, told=told
    )
    write_record(path, measured.figures.to_row())
    return measured.figures


def load_trained(current: Current, trained: PreferenceResult) -> tuple[Any, Any]:
    """What training made, whole."""
    if not (trained.trained / "adapter_config.json").exists():
        return load(trained.trained)
    model, tokenizer = load(resolved(current.model))
    return with_adapter(model, trained.trained).merge_and_unload(), tokenizer


def after(report: RoundReport, current: Current, config: RoundsConfig, folder: Path) -> Current:
    """What the next round begins with: the promoted model, or the same as this one.

    Raises OSError where the merged model cannot be written.
    """
    if not report.promoted:
        return current
    student = current.student if report.student is None else folder / report.student
    trained = folder / "training" / "adapter"
    if not trained.exists():
        return Current(str(folder / "training" / "model"), None, report.after, student)
    if config.promotion is Promotion.STACK:
        return Current(current.model, trained, report.after, student)
    merged = folder / "model"
    if not merged.exists():
        record = read_record(folder / "training" / "result.json") or {}
        save_merged(current.model, trained, merged, config=config.training, record=record)
        shutil.copy(trained / "README.md", merged / "README.md")
    return Current(str(merged), None, report.after, student)


def _write_cards(
    config: RoundsConfig,
    current: Current,
    trained: PreferenceResult,
    measured: GateFigures,
    verdict: GateVerdict,
    folder: Path,
) -> None:
    """The model card again, now with what the gate measured."""
    record = read_record(folder / "training" / "result.json") or {}
    settings = training_settings(config.training, current, seed=config.seed)
    figures = RoundReport.compared(current.figures, measured)
    outcome = "Promoted" if verdict.promoted else "Rejected"
    text = card(settings, record, figures=figures) + f"\n{outcome}: {verdict.reason}.\n"
    (trained.trained / "README.md").write_text(text, "utf-8")
