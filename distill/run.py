"""`rerail distill`: from traces and requests to a student's folder, stage after stage.

Every stage leaves a file in the run's folder and is not done again where that is there, so a run
that was broken off goes on where it stopped. A folder made with other settings is refused.
"""

import logging
import random
import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from tokenizers import Tokenizer

from ..guard.detector import Threshold
from ..guard.detector_student import StudentDetector
from ..guard.student_folder import SCREEN, TOKENIZER, StudentSettings
from .adversarial import attack_report, false_alarms
from .belief_fit import ScoredTrace, fit_belief
from .belief_search import AlarmShares, Bench, tune_belief
from .bounds import bounds
from .card import CardFacts, model_card
from .channel_thresholds import ChannelChoice, choose_channels, thresholds_of
from .config import DistillConfig
from .export import export_screen
from .labels import LabelledTrace, read_traces
from .placeholders import masked_trace
from .replay import ReplayedTrace, replay
from .report import by_source
from .request_sets import read_requests
from .splits import Split, split
from .stages import (
    WEIGHTS,
    encoder_folder,
    encoder_stage,
    exported_encoder,
    finish_student,
    held_traces,
    open_run,
    scored_stage,
    screen_calibration,
    screen_stage,
    student_settings,
)
from .teachers import LabelledFiles, Teacher, taught
from .thresholds import chosen_threshold

logger = logging.getLogger(__name__)


def fit_encoder_only(config: DistillConfig, teacher: Teacher | None = None) -> Path:
    """The first stage alone: gives the file of fitted weights, for `initial_encoder`."""
    open_run(config)
    tokenizer = Tokenizer.from_file(str(encoder_folder(config.encoder) / TOKENIZER))
    encoder_stage(config, tokenizer, read_data(config, teacher))
    return config.out / WEIGHTS


def distill(
    config: DistillConfig, teacher: Teacher | None = None, *, fitted: Path | None = None
) -> Path:
    """Makes a student and gives its folder. Raises ValueError for settings or data that cannot be.

    `teacher` labels traces on harmful requests that come without labels; by default they are taken
    to be deliberately safe. `fitted` are encoder weights to be used as they are, without a fit.
    """
    open_run(config)
    if fitted is not None and not (config.out / WEIGHTS).exists():
        shutil.copy(fitted, config.out / WEIGHTS)
    tokenizer = Tokenizer.from_file(str(encoder_folder(config.encoder) / TOKENIZER))
    data = read_data(config, teacher)
    encoder = encoder_stage(config, tokenizer, data)
    session = exported_encoder(config, encoder)
    rng = random.Random(config.screen_fit.seed)
    soft = rng.sample(data.train, min(config.num_soft_traces, len(data.train)))
    known = dict(zip(soft, scored_stage(config, "train", session, tokenizer, soft), strict=True))
    held = held_traces(config, data)
    scored = scored_stage(config, "held", session, tokenizer, held)
    shares = AlarmShares(config.harmless_limit, config.touchy_limit, config.safe_limit)
    bench = Bench(scored, config.touchy_sources, config.apart_sources)
    weights = tune_belief(fit_belief(scored), bench, shares, num_tries=config.num_tries)
    probabilities = bench.probabilities(weights)
    end = chosen_threshold(config, scored, probabilities.tolist())
    # A score inside a step stays well under what the step's end needs, and acts only when sure.
    inside = max(0.995, end)
    weights = replace(weights, inside_limit=0.5 * end, inside_sure=inside)
    choices = choose_channels(config, held, scored, weights, end)
    thresholds = thresholds_of(Threshold(inside, end), choices)
    screen = screen_stage(config, tokenizer, encoder, data.train, known)
    scale, bias = screen_calibration(screen, tokenizer, held, scored)
    config.student.mkdir(exist_ok=True)
    export_screen(screen, config.student / SCREEN, scale=scale, bias=bias)
    settings = student_settings(config, weights, thresholds)
    finish_student(config, tokenizer, settings)
    logger.info("threshold %.4f; student in %s", end, config.student)
    write_card(config, settings, data, held, scored, choices)
    return config.student


def read_data(config: DistillConfig, teacher: Teacher | None) -> Split:
    """The traces and requests, labelled, without placeholders, and divided."""
    traces = taught(read_traces(config.traces), teacher or LabelledFiles())
    requests = list(read_requests(config.requests))
    data = split([masked_trace(trace) for trace in traces], requests, config)
    logger.info(
        "%d traces to train on, %d held out; %d and %d requests",
        len(data.train), len(data.held), len(data.train_requests), len(data.held_requests),
    )  # fmt: skip
    return data


def replayed_with_use(
    detector: StudentDetector, traces: Sequence[LabelledTrace], config: DistillConfig
) -> tuple[list[ReplayedTrace], float | None]:
    """The traces read by the student, and on which share of harmless ones' steps, 0..1, its second
    stage ran; `None` where there are no such steps."""
    harmless = [trace for trace in traces if not trace.harmful]
    before = replace(detector.use)
    replayed = replay(detector, harmless, max_steps=config.max_steps)
    num_steps = detector.use.num_steps - before.num_steps
    num_verified = detector.use.num_verified - before.num_verified
    harmful = [trace for trace in traces if trace.harmful]
    replayed += replay(detector, harmful, max_steps=config.max_steps)
    return replayed, num_verified / num_steps if num_steps else None


def write_card(
    config: DistillConfig,
    settings: StudentSettings,
    data: Split,
    held: Sequence[LabelledTrace],
    scored: Sequence[ScoredTrace],
    channels: Sequence[ChannelChoice],
) -> None:
    """Replays the held-out and the only measured traces through the student; writes its card."""
    detector = StudentDetector.from_folder(config.student)
    replayed, verified_share = replayed_with_use(detector, (*held, *data.measured), config)
    sources = Counter(trace.source for trace in (*data.train, *data.held, *data.measured))
    sources.update(entry.source for entry in (*data.train_requests, *data.held_requests))
    card = model_card(
        settings,
        CardFacts(
            sources=sorted(sources.items()),
            settings=config.to_json(),
            num_trained=len(data.train),
            num_held=len(held),
            verified_share=verified_share,
            channels=channels,
            bounds=bounds(config, scored, settings.belief),
        ),
        by_source(replayed, num_draws=100),
        attack_report(detector),
        [trace.id for trace in false_alarms(detector)],
    )
    (config.student / "MODEL_CARD.md").write_text(card)
