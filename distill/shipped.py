"""Rebuilds the shipped student, or measures one on the recipe's held-out data.

The encoder is fitted in passes, each going on from the one before with another sample: a pass is
short enough to be looked at before the next, and the held-out fold is the same in all. The tenth
took 36 minutes on one core of a shared machine; all ten read 8.3 times as much text, so count on
five hours. A scale of 0.02 walks the whole path in minutes. A run that was stopped goes on where it
was, inside a pass too. The result is the same in kind and not bit for bit: sums differ by machine.

`rerail distill shipped` writes the sandbox's files first and then calls `rebuild` or `measure`.
"""

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from tokenizers import Tokenizer

from ..guard.detector_student import StudentDetector
from ..guard.inference import new_session
from ..guard.student_folder import SHIPPED, StudentFolder
from .adversarial import attack_report, false_alarms
from .bounds import bounds
from .card import attack_lines, bound_lines, verified_lines
from .config import DEFAULT_ENCODER, DistillConfig
from .encoder_fit import EncoderFit
from .report import as_markdown, by_source, write_report
from .run import distill, fit_encoder_only, read_data, replayed_with_use
from .screen_fit import ScreenFit
from .shipped_passes import PASSES
from .stages import held_traces, open_run, scored_stage

logger = logging.getLogger(__name__)

HELD_MARKS = ("china", "ccp")
"""Essays about one country are held out: the trace ids name it."""

STEP_SHARES: Mapping[str, float] = {
    "advbench_r1_llama_8b": 0.25,
    "star1_r1_safe": 0.25,
    "essays_benign": 0.08,
    "sandbox_world": 0.35,
    "sandbox_written": 0.35,
}
"""Share of the later steps that every pass reads, by file."""

APART = ("sandbox_world", "sandbox_written")
"""Files whose harmless traces keep the false-alarm limit by themselves."""

CORPUS = Path(__file__).parent / "corpus"
"""This project's own traces and requests."""

SANDBOX_WORLD, SANDBOX_WRITTEN, SANDBOX_REQUESTS = (
    "sandbox_world.jsonl",
    "sandbox_written.jsonl",
    "sandbox_requests.jsonl",
)
"""Names of the sandbox's files: the world's traces, those that its model wrote, requests."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """Where the data lies and how much of it is used."""

    data: Path
    """Folder with `traces/` and `prompts/`."""

    out: Path
    """Folder of the run: one folder a pass, then `final`."""

    encoder: str = DEFAULT_ENCODER
    sandbox: Path | None = None
    """Folder with the sandbox's files; without it they are left out."""

    scale: float = 1.0
    """Share of all data that is used, 0..1: a small one tries the path, not the student."""

    first_pass: int = 0
    """Number of the first pass to do, from 0: those before are in `weights`."""

    weights: Path | None = None
    """Encoder weights of the passes before the first one."""

    notes: str = ""
    """Said in the card."""

    def __post_init__(self) -> None:
        if not 0.0 < self.scale <= 1.0:
            raise ValueError(f"scale is {self.scale}: give a share above 0, at most 1")
        if not 0 <= self.first_pass <= len(PASSES):
            raise ValueError(f"first_pass is {self.first_pass}: give 0 to {len(PASSES)}")
        if (self.weights is None) != (self.first_pass == 0):
            raise ValueError("weights and first_pass go together: the weights are those before it")
        if not any(self.data.glob("traces/*.jsonl")):
            raise ValueError(f"{self.data} holds no traces/*.jsonl: name the folder with the data")

    @property
    def traces(self) -> tuple[Path, ...]:
        """All files of traces."""
        return (
            *sorted(self.data.glob("traces/*.jsonl")),
            *sorted(CORPUS.glob("traces*.jsonl")),
            *self._of_sandbox(SANDBOX_WORLD, SANDBOX_WRITTEN),
        )

    @property
    def requests(self) -> tuple[Path, ...]:
        """All files of requests."""
        return (
            *sorted(self.data.glob("prompts/*.jsonl")),
            *sorted(CORPUS.glob("requests*.jsonl")),
            *self._of_sandbox(SANDBOX_REQUESTS),
        )

    def _of_sandbox(self, *names: str) -> list[Path]:
        folder = self.sandbox
        return [] if folder is None else [folder / n for n in names if (folder / n).exists()]

    def pass_config(self, number: int, before: Path | None) -> DistillConfig:
        """The settings of one pass."""
        one = PASSES[number]
        stems = [path.stem for path in (*self.traces, *self.requests)]
        return DistillConfig(
            out=self.out / f"pass-{number}",
            traces=self.traces,
            requests=self.requests,
            encoder=self.encoder,
            initial_encoder=before,
            held_marks=HELD_MARKS,
            request_shares=self._scaled(stems, one.requests),
            trace_shares=self._scaled(stems, one.traces),
            step_shares=dict(STEP_SHARES),
            doubled_sources=("xstest", "jailbreakbench"),
            opener_share=one.opener_share,
            apart_sources=tuple(stem for stem in stems if stem in APART),
            max_steps=14,
            encoder_fit=EncoderFit(
                num_epochs=1,
                learning_rate=one.learning_rate,
                head_learning_rate=one.head_learning_rate,
                seed=number,
            ),
        )

    def final_config(self, before: Path | None) -> DistillConfig:
        """The settings of everything after the encoder."""
        return replace(
            self.pass_config(len(PASSES) - 1, before),
            out=self.out / "final",
            num_replayed=self._number(1300),
            num_drills=self._number(700),
            num_apart=self._number(160),
            num_soft_traces=self._number(250),
            num_tries=self._number(1000),
            screen_fit=ScreenFit(
                num_epochs=4, max_units=300, num_traces=self._number(2600, at_least=24)
            ),
            notes=self.notes,
        )

    def _scaled(self, stems: Iterable[str], shares: Mapping[str, float]) -> dict[str, float]:
        return {stem: round(shares.get(stem, 1.0) * self.scale, 6) for stem in stems}

    def _number(self, whole: int, at_least: int = 20) -> int:
        return max(at_least, round(whole * self.scale))


def rebuild(recipe: Recipe) -> Path:
    """Fits the passes and distils; gives the student's folder. Resumable.

    Raises ValueError where nothing is to be fitted, and for data that do not do.
    """
    before = recipe.weights
    for number in range(recipe.first_pass, len(PASSES)):
        before = fit_encoder_only(recipe.pass_config(number, before))
        logger.info("pass %d of %d done", number + 1, len(PASSES))
    if before is None:
        raise ValueError("there is no pass to do and there are no weights to go on from")
    return distill(recipe.final_config(before), fitted=before)


def measure(recipe: Recipe, student: Path = SHIPPED) -> str:
    """Reads the held-out traces, drills and disguises with the student in this folder, as the card
    does for a new one; gives the report, which is kept in the run's folder, too. Minutes.

    Raises `DetectorFileError` for a student that cannot be read, ValueError for data that do not do
    and a folder where the same student was measured with other settings.
    """
    folder = StudentFolder.read(student)
    detector = StudentDetector(folder)
    out = recipe.out / "measured" / detector.identity
    config = replace(recipe.final_config(None), out=out)
    open_run(config)
    data = read_data(config, None)
    held = held_traces(config, data)
    session = new_session(folder.encoder)
    tokenizer = Tokenizer.from_str(folder.tokenizer)
    scored = scored_stage(config, "held", session, tokenizer, held)
    replayed, verified_share = replayed_with_use(detector, (*held, *data.measured), config)
    reports = by_source(replayed, num_draws=100)
    lines = [
        as_markdown(detector.identity, reports),
        *verified_lines(verified_share),
        *bound_lines(bounds(config, scored, folder.settings.belief)),
        *attack_lines(attack_report(detector), [trace.id for trace in false_alarms(detector)]),
    ]
    text = "\n".join(lines)
    write_report(out, text, reports)
    return text
