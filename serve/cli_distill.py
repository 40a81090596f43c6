"""`rerail distill`: a student detector out of traces and a teacher, and the report on one."""

import logging
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from .cli_errors import UsageError, options_checked, say
from .distill_files import write_sandbox, write_stored
from .distill_options import DEFAULT_ENCODER, Fitting, StoredTraces, TeacherChoice
from .extras import need


def distill(
    *,
    traces: Annotated[tuple[Path, ...], Parameter(consume_multiple=True)] = (),
    requests: Annotated[tuple[Path, ...], Parameter(consume_multiple=True)] = (),
    out: Path,
    chosen: TeacherChoice = TeacherChoice(),  # noqa: B008  (frozen: sharing it is harmless)
    stored: StoredTraces = StoredTraces(),  # noqa: B008
    fitting: Fitting = Fitting(),  # noqa: B008
) -> None:
    """Make a student detector from traces and a teacher: an ONNX folder for `--detector`.

    Every stage leaves a file in the output folder; a run that was stopped goes on where it was
    when the same command is given again.

    Examples

        rerail distill --traces traces/*.jsonl --requests prompts/*.jsonl --out run
        rerail distill --from-store --teacher judge --judge-url https://host/v1 \\
            --judge-model big --traces labelled.jsonl --out run
        rerail distill report --traces held.jsonl --detector run/student --out report

    Parameters
    ----------
    traces
        JSON Lines files of traces: `id`, `request`, `harmful`, `think`, `steps` and `labels`.
    requests
        JSON Lines files of requests with a verdict: `request` and `harmful`.
    out
        The run's folder; the student ends up in its folder `student`.
    """
    if not traces and not stored.from_store:
        raise UsageError("there is nothing to learn from: give --traces, or --from-store")
    if stored.from_store and chosen.teacher == "labels":
        raise UsageError("the store's traces carry no labels: choose a --teacher for them")
    need("distill")
    from ..distill.config import DistillConfig
    from ..distill.encoder_fit import EncoderFit
    from ..distill.labels import read_traces
    from ..distill.remembered_teacher import RememberedTeacher
    from ..distill.run import distill as run_distill
    from ..distill.screen_fit import ScreenFit

    read = list(read_traces(traces))  # every line is checked before anything is made
    out.mkdir(parents=True, exist_ok=True)
    with chosen.ready(fitting.encoder, read) as teacher:
        if chosen.teacher != "labels":
            teacher = RememberedTeacher(teacher, out / f"labels-{chosen.teacher}.jsonl")
        files = (*traces, *([write_stored(stored, teacher, out)] if stored.from_store else []))
        with options_checked():
            config = DistillConfig(
                out=out,
                traces=files,
                requests=requests,
                encoder=fitting.encoder,
                initial_encoder=fitting.initial_encoder,
                name=fitting.name,
                num_folds=fitting.num_folds,
                held_sources=fitting.held_sources,
                measured_sources=fitting.measured_sources,
                touchy_sources=fitting.touchy_sources,
                harmless_limit=fitting.harmless_limit,
                touchy_limit=fitting.touchy_limit,
                safe_limit=fitting.safe_limit,
                max_steps=fitting.max_steps,
                num_tries=fitting.num_tries,
                encoder_fit=EncoderFit(num_epochs=fitting.encoder_epochs, seed=fitting.seed),
                screen_fit=ScreenFit(num_epochs=fitting.screen_epochs, seed=fitting.seed),
            )
        with _shown(f"interrupted; give the same command again to go on from {out}"):
            student = run_distill(config, teacher)
    say(f"student written to {student}: try `--detector {student}`, and read its MODEL_CARD.md")


def report(
    *,
    traces: Annotated[tuple[Path, ...], Parameter(consume_multiple=True)],
    out: Path,
    detector: str = "student",
    max_steps: int | None = None,
    max_traces: int | None = None,
    num_draws: int = 200,
) -> None:
    """Measure a detector on labelled and harmless traces: tables, JSON and curves.

    Writes report.md, report.json, thresholds.png and roc.png, by source and over all, with 95 %
    bootstrap intervals; the table goes to stdout as well.

    Examples

        rerail distill report --traces held.jsonl --out report
        rerail distill report --traces traces/*.jsonl --detector run/student --out report

    Parameters
    ----------
    traces
        JSON Lines files of traces, each a source; unlabelled ones on harmful requests count as
        deliberately safe.
    out
        Folder for the report.
    detector
        `student` (the one that comes with rerail), `keywords`, the folder of a student, or
        `module:name`, what makes one of your own.
    max_steps
        Steps of each trace that are replayed; all by default.
    max_traces
        Traces of each file that are replayed, its first ones; all by default.
    num_draws
        Bootstrap draws for the intervals.
    """
    need("distill")
    from ..distill.report import ReportConfig
    from ..distill.report import report as write_report

    with options_checked():
        config = ReportConfig(
            traces=traces,
            out=out,
            detector=detector,
            max_steps=max_steps,
            max_traces=max_traces,
            num_draws=num_draws,
        )
    with _shown("interrupted; no report was written"):
        write_report(config)
    sys.stdout.write((out / "report.md").read_text(encoding="utf-8"))
    say(f"report and curves written to {out}")


def evidence(
    *,
    traces: Annotated[tuple[Path, ...], Parameter(consume_multiple=True)],
    requests: Annotated[tuple[Path, ...], Parameter(consume_multiple=True)] = (),
    out: Path,
    encoder: str = DEFAULT_ENCODER,
    max_traces: int = 150,
    max_requests: int = 1500,
    max_steps: int = 8,
    seed: int = 0,
) -> None:
    """Leave out voice after voice and source after source, and add sources bit by bit.

    Every fold fits a classifier on sentence embeddings, not the whole encoder, which would take
    days: read the differences, not the heights. Writes evidence.json, voices.png and curves.png.

    Examples

        rerail distill evidence --traces traces/*.jsonl --requests prompts/*.jsonl --out evidence

    Parameters
    ----------
    traces
        JSON Lines files of labelled traces, each a source.
    requests
        JSON Lines files of requests with a verdict.
    out
        Folder for figures and curves.
    encoder
        The sentence encoder: a hub name or a local folder.
    max_traces
        Traces of each file that are used.
    max_requests
        Requests that are used.
    max_steps
        Steps of each trace that are used.
    seed
        Seed of what is drawn.
    """
    need("distill")
    from ..distill.evidence import EvidenceConfig, gather

    with options_checked():
        config = EvidenceConfig(
            traces=traces,
            out=out,
            requests=requests,
            encoder=encoder,
            max_traces=max_traces,
            max_requests=max_requests,
            max_steps=max_steps,
            seed=seed,
        )
    with _shown("interrupted; nothing was written"):
        gather(config)
    say(f"figures and curves written to {out}")


def shipped(
    *,
    data: Path,
    out: Path,
    encoder: str = DEFAULT_ENCODER,
    scale: float = 1.0,
    first_pass: int = 0,
    weights: Path | None = None,
    notes: str = "",
    measure: str | None = None,
) -> None:
    """Rebuild the student that comes with rerail, from data to folder, in one resumable command.

    Writes the sandbox's traces and requests first (the world's own, and those that its model
    writes), then fits pass after pass: hours. With --measure it only measures a student on what is
    held out from all passes, as its model card does: minutes.

    Examples

        rerail distill shipped --data data --out run
        rerail distill shipped --data data --out try --scale 0.02
        rerail distill shipped --data data --out run --measure student

    Parameters
    ----------
    data
        Folder with `traces/*.jsonl` and `prompts/*.jsonl`.
    out
        The run's folder; the student ends up in `final/student`.
    encoder
        The pre-trained sentence encoder: a hub name or a local folder.
    scale
        Share of all data that is used: a small one tries the path in minutes.
    first_pass
        Number of the first encoder pass to do, from 0; those before are in --weights.
    weights
        Encoder weights (`encoder.pt`) of the passes before.
    notes
        Said in the model card.
    measure
        Make none, but measure `student` (the one that comes with rerail) or the one in this folder.
    """
    need("distill")
    from ..distill.shipped import Recipe, rebuild
    from ..distill.shipped import measure as measured
    from ..guard.student_folder import SHIPPED

    with options_checked():
        recipe = Recipe(
            data=data,
            out=out,
            encoder=encoder,
            sandbox=out / "sandbox",
            scale=scale,
            first_pass=first_pass,
            weights=weights,
            notes=notes,
        )
    with _shown(f"interrupted; give the same command again to go on from {out}"):
        write_sandbox(out / "sandbox", scale)
        if measure is not None:
            sys.stdout.write(measured(recipe, SHIPPED if measure == "student" else Path(measure)))
            say(f"report kept in {out / 'measured'}")
            return
        student = rebuild(recipe)
    say(f"student written to {student}")


@contextmanager
def _shown(interrupted: str) -> Generator[None]:
    """What the stages log is said while the context lasts; an interrupt says what is left."""
    logger = logging.getLogger("rerail")
    before = logger.level
    logger.setLevel(logging.INFO)
    try:
        yield
    except KeyboardInterrupt:
        raise KeyboardInterrupt(interrupted) from None
    finally:
        logger.setLevel(before)
