"""The stages of a distillation; each leaves a file in the run's folder and reads it if there."""

import random
import shutil
from collections.abc import Mapping, Sequence
from itertools import zip_longest
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from onnxruntime import InferenceSession
from sklearn.linear_model import LogisticRegression
from tokenizers import Tokenizer

from ..guard.belief import BeliefWeights, log_odds
from ..guard.conversation import request_texts
from ..guard.detector import Thresholds
from ..guard.inference import new_session
from ..guard.step_encoder import CUE, HARM
from ..guard.student_folder import (
    ENCODER,
    MANIFEST,
    TOKENIZER,
    StudentFolder,
    StudentSettings,
    write_manifest,
)
from .belief_fit import ScoredTrace
from .config import DistillConfig
from .encoder_data import encoder_examples
from .encoder_examples import MAX_ANSWER_STEPS
from .encoder_fit import RowMaker, fit_encoder, run_rows
from .encoder_model import EncoderModel
from .export import export_encoder
from .labels import LabelledTrace
from .openers import drills
from .run_folder import check_config
from .screen_fit import ScreenExample, UnitReader, fit_screen
from .screen_model import ScreenModel, reduced_vectors
from .splits import Split

WEIGHTS = "encoder.pt"
"""The fitted encoder's weights, in a run's folder."""

KEPT_FIT = "encoder-fit.pt"
"""How far the fit has got, as long as it runs (`fit_progress`)."""


def encoder_folder(name: str) -> Path:
    """The local folder of an encoder: itself, or the hub's snapshot (downloaded if need be).

    Raises ValueError for one that cannot be had.
    """
    folder = Path(name)
    if folder.is_dir():
        return folder
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(name))
    except Exception as error:
        raise ValueError(
            f"encoder {name!r} is no local folder and cannot be had from the hub ({error}): "
            "give a folder that holds a BERT sentence encoder"
        ) from error


def open_run(config: DistillConfig) -> None:
    """Makes the run's folder, or checks that it belongs to this configuration.

    Raises ValueError for a run that was begun with other settings.
    """
    config.out.mkdir(parents=True, exist_ok=True)
    check_config(config.out, config.to_json())


def held_traces(config: DistillConfig, data: Split) -> list[LabelledTrace]:
    """The held-out traces that are measured on, and drills on held-out requests; seeded."""
    rng = random.Random(config.screen_fit.seed)
    harmless = [entry for entry in data.held_requests if not entry.harmful]
    written = _in_turn(list(drills(harmless, rng)), rng)
    usual = [trace for trace in data.held if trace.source not in config.apart_sources]
    found = rng.sample(usual, min(config.num_replayed, len(usual)))
    found += written[: config.num_drills]
    for source in config.apart_sources:
        apart = [trace for trace in data.held if trace.source == source]
        found += rng.sample(apart, min(config.num_apart, len(apart)))
    return found


def _in_turn(traces: Sequence[LabelledTrace], rng: random.Random) -> list[LabelledTrace]:
    """One of each voice after another, as long as it has any: the many requests of one set must
    not stand for all."""
    by_voice: dict[str, list[LabelledTrace]] = {}
    for trace in rng.sample(traces, len(traces)):
        by_voice.setdefault(trace.voice, []).append(trace)
    turns = zip_longest(*(by_voice[voice] for voice in sorted(by_voice)))
    return [trace for turn in turns for trace in turn if trace is not None]


def encoder_stage(config: DistillConfig, tokenizer: Tokenizer, data: Split) -> EncoderModel:
    """The fitted encoder; from `encoder.pt` where that is there."""
    path = config.out / WEIGHTS
    folder = encoder_folder(config.encoder)
    if path.exists():
        model = EncoderModel(folder)
        model.load_state_dict(torch.load(path, weights_only=True))
        return model.eval()
    examples = encoder_examples(config, data)
    model = EncoderModel(folder)
    if config.initial_encoder is not None:
        model.load_state_dict(torch.load(config.initial_encoder, weights_only=True))
    kept = config.out / KEPT_FIT
    fit_encoder(model, tokenizer, examples, config.lengths, config.encoder_fit, kept)
    _save(model.state_dict(), path)
    kept.unlink(missing_ok=True)
    return model


def exported_encoder(config: DistillConfig, encoder: EncoderModel) -> InferenceSession:
    """The encoder as it will run; beliefs and thresholds are fitted on what that one says."""
    path = config.out / ENCODER
    if not path.exists():
        export_encoder(encoder, path)
    return new_session(path.read_bytes())


def scored_stage(
    config: DistillConfig,
    part: str,
    session: InferenceSession,
    tokenizer: Tokenizer,
    traces: Sequence[LabelledTrace],
) -> list[ScoredTrace]:
    """The encoder's log-odds for every trace; from `scores-<part>.npy` where that is there."""
    maker = RowMaker(tokenizer, config.lengths)
    path = config.out / f"scores-{part}.npy"
    if path.exists():
        log_odds = np.load(path)
    else:
        rows = []
        for trace in traces:
            asked = _read_of(trace.request)
            rows += [maker.row(passage, "", None) for passage in asked]
            before = ""
            for step in read_steps(trace, config.max_steps):
                rows.append(maker.row(asked[0], before, step))
                before = step
        log_odds = run_rows(session, rows)
        np.save(path, log_odds)
    scored: list[ScoredTrace] = []
    start = 0
    for trace in traces:
        num_thought = len(trace.steps[: config.max_steps])
        num_read = len(read_steps(trace, config.max_steps))
        cues = None
        if trace.labels is not None:
            cues = np.array([label.is_cue for label in trace.labels[:num_thought]], np.float32)
        first = start + len(_read_of(trace.request))
        reading = float(log_odds[start:first, HARM].max())
        steps = log_odds[first : first + num_thought]
        answer = log_odds[first + num_thought : first + num_read]
        scored.append(ScoredTrace(trace.source, trace.harmful, reading, steps, cues, answer))
        start = first + num_read
    return scored


def _read_of(request: str) -> tuple[str, ...]:
    """What the runtime reads of a request; the passage that steps are read with comes first."""
    return request_texts([{"role": "user", "content": request}]) or ("",)


def read_steps(trace: LabelledTrace, max_steps: int) -> list[str]:
    """The steps that the encoder reads: of the reasoning, then the first ones of the answer."""
    return [*trace.steps[:max_steps], *trace.answer[:MAX_ANSWER_STEPS]]


def screen_stage(
    config: DistillConfig,
    tokenizer: Tokenizer,
    encoder: EncoderModel,
    traces: Sequence[LabelledTrace],
    known: Mapping[LabelledTrace, ScoredTrace],
) -> ScreenModel:
    """The fitted screen; from `screen.pt` where that is there."""
    path = config.out / "screen.pt"
    vectors = encoder.embeddings.word_embeddings.weight.detach().numpy()
    table = reduced_vectors(vectors, config.screen_fit.dimensions)
    if path.exists():
        model = ScreenModel(table, config.screen_fit.width)
        model.load_state_dict(torch.load(path, weights_only=True))
        return model.eval()
    num_traces = config.screen_fit.num_traces
    if num_traces is not None and num_traces < len(traces):
        rng = random.Random(config.screen_fit.seed)
        others = [trace for trace in traces if trace not in known]
        rest = min(len(others), max(0, num_traces - len(known)))
        traces = [*(t for t in traces if t in known), *rng.sample(others, rest)]
    examples = [screen_example(trace, known.get(trace), config.max_steps) for trace in traces]
    model = fit_screen(table, tokenizer, examples, config.screen_fit)
    _save(model.state_dict(), path)
    return model


def screen_example(
    trace: LabelledTrace, scored: ScoredTrace | None, max_steps: int
) -> ScreenExample:
    """Targets of the two heads: labels, and where there is one half the encoder's opinion."""
    steps = trace.steps[:max_steps]
    labels = (trace.labels or ())[:max_steps]
    along = np.zeros(len(steps))
    along[: len(labels)] = [label.is_cue for label in labels]
    known = np.zeros(len(steps))
    known[: len(labels)] = trace.harmful
    if scored is not None:
        opinion = 1.0 / (1.0 + np.exp(-scored.steps[:, CUE]))
        along = np.where(known > 0, 0.5 * along + 0.5 * opinion, opinion)
        known[:] = 1.0
    elif trace.harmful and trace.labels is None:
        known[:] = 0.5
    alarm = along if trace.harmful else np.zeros(len(steps))
    targets = np.stack([along, alarm], axis=1).astype(np.float32)
    weights = np.stack([known, np.ones(len(steps))], axis=1).astype(np.float32)
    return ScreenExample(steps, targets, weights)


def screen_calibration(
    screen: ScreenModel,
    tokenizer: Tokenizer,
    traces: Sequence[LabelledTrace],
    scored: Sequence[ScoredTrace],
) -> tuple[float, float]:
    """Scale and bias that put the screen's log-odds where the labels have them."""
    reader = UnitReader(tokenizer)
    found: list[npt.NDArray[np.float32]] = []
    cues: list[npt.NDArray[np.float32]] = []
    with torch.inference_mode():
        for trace, scores in zip(traces, scored, strict=True):
            if not trace.harmful or scores.cues is None or not len(scores.cues):
                continue
            rows = [reader.pieces(step) for step in trace.steps[: len(scores.cues)]]
            log_odds, _ = screen(torch.tensor([row for step in rows for row in step])[None])
            ends = np.cumsum([len(step) for step in rows]) - 1
            found.append(log_odds[0, ends, 0].numpy())
            cues.append(scores.cues)
    fitted = LogisticRegression(C=1e3).fit(np.concatenate(found)[:, None], np.concatenate(cues))
    scale, bias = float(fitted.coef_[0, 0]), float(fitted.intercept_[0])
    return max(scale, 0.05), bias


def student_settings(
    config: DistillConfig, weights: BeliefWeights, thresholds: Thresholds
) -> StudentSettings:
    """What the manifest says of the student, from the run's settings and what was fitted."""
    return StudentSettings(
        name=config.name,
        thresholds=thresholds,
        belief=weights,
        verify_harm=config.verify_harm,
        verify_alarm=log_odds(config.verify_alarm),
        request_tokens=config.lengths.request,
        context_tokens=config.lengths.context,
        step_tokens=config.lengths.step,
        reading_tokens=config.lengths.reading,
    )


def finish_student(config: DistillConfig, tokenizer: Tokenizer, settings: StudentSettings) -> None:
    """Completes the student's folder; the manifest last, so that half a folder is never loaded."""
    folder = config.student
    (folder / MANIFEST).unlink(missing_ok=True)
    shutil.copy(config.out / ENCODER, folder / ENCODER)
    tokenizer.no_padding()
    tokenizer.no_truncation()
    (folder / TOKENIZER).write_text(tokenizer.to_str())
    write_manifest(folder, settings)
    StudentFolder.read(folder)


def _save(state: dict[str, torch.Tensor], path: Path) -> None:
    """Writes and then renames, so that a file which is there is whole."""
    partial = path.with_suffix(".partial")
    torch.save(state, partial)
    partial.rename(path)
