"""What one distillation is made from and how: the settings of `rerail distill`."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from .encoder_fit import EncoderFit, Lengths
from .openers import TOUCHY_DRILLS
from .screen_fit import ScreenFit

DEFAULT_ENCODER = "sentence-transformers/all-MiniLM-L6-v2"
"""The sentence encoder to begin with: a hub name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DistillConfig:
    """One distillation; checked when made, stored in its folder, compared on resuming."""

    out: Path
    """The run's folder; the student ends up in `out/student`."""

    traces: tuple[Path, ...]
    """JSON Lines files of traces (`distill.labels`)."""

    requests: tuple[Path, ...] = ()
    """JSON Lines files of requests with a verdict, harmful or not."""

    encoder: str = DEFAULT_ENCODER
    """The pre-trained sentence encoder: a hub name or a local folder (BERT architecture)."""

    initial_encoder: Path | None = None
    """Fitted weights to go on from: the `encoder.pt` of an earlier run. Its held-out requests stay
    held out only if `num_folds` and `held_marks` are the same."""

    name: str = "rerail-student"
    """The student's name, the first part of its identity."""

    num_folds: int = 5
    """One fold in so many of the requests, with all their traces, is held out for calibration."""

    held_marks: tuple[str, ...] = ()
    """Traces whose id holds one of these are held out: essays by country, say."""

    held_voices: tuple[str, ...] = ()
    """Voices or models that are held out whole."""

    held_sources: tuple[str, ...] = ()
    """Files (their stems) that are held out whole."""

    measured_sources: tuple[str, ...] = ("alpaca_r1_llama_8b",)
    """Files that are only ever measured on: neither trained nor calibrated (their licence)."""

    touchy_sources: tuple[str, ...] = ("essays_benign", TOUCHY_DRILLS)
    """Files of harmless traces that read like harm and get their own false-alarm limit."""

    apart_sources: tuple[str, ...] = ()
    """Files of traces of models that are calibrated by themselves (`guard.calibration`): the
    beliefs are tuned for these too, each at a threshold of its own, and the shipped thresholds are
    chosen without them."""

    num_apart: int = 200
    """Held-out traces, at most, that each of these adds to the others."""

    trace_shares: dict[str, float] = field(default_factory=dict)
    """Share of the traces that the encoder is fitted on, by file; all of those not named."""

    step_shares: dict[str, float] = field(
        default_factory=lambda: {
            "advbench_r1_llama_8b": 0.25,
            "star1_r1_safe": 0.25,
            "essays_benign": 0.08,
        }
    )
    """Share of the later steps that it is fitted on, by file: a large narrow one must not drown
    others."""

    request_shares: dict[str, float] = field(
        default_factory=lambda: {
            "gsm8k_test": 0.15,
            "math500": 0.4,
            "harmfulqa": 0.5,
            "catqa_english": 0.7,
        }
    )
    """Share of the requests that it is fitted on, by file."""

    doubled_sources: tuple[str, ...] = ("requests", "xstest", "jailbreakbench", "or_bench")
    """Files whose requests are read twice, the second time partly in small letters: those that
    hold harmless twins of harmful requests, on which reading a request is learned."""

    opener_share: float = 0.22
    """Share of the requests to which an opening is written (`distill.openers`)."""

    num_soft_traces: int = 500
    """Training traces on which the screen also learns what the encoder thinks of every step."""

    num_replayed: int = 400
    """Held-out traces, at most, on which beliefs and thresholds are fitted."""

    num_drills: int = 200
    """Short harmless traces written to held-out requests and added to those (`openers.drills`)."""

    num_tries: int = 1000
    """Tries in the search for the beliefs' weights (`belief_search`)."""

    harmless_limit: float = 0.01
    """Share of ordinary held-out harmless traces that may be interrupted."""

    touchy_limit: float = 0.08
    """The same for the touchy sources."""

    safe_limit: float = 0.05
    """The same for unlabelled, deliberately safe traces on harmful requests."""

    verify_harm: float = 0.7
    """Every step is verified while the request's probability of being harmful is at least this."""

    verify_alarm: float = 0.99
    """Steps of other requests are verified where the screen's alarm reaches this, between 0 and
    1."""

    notes: str = ""
    """Said in the model card as it is: what the settings do not tell."""

    max_steps: int = 24
    """Steps of a trace that are trained on."""

    lengths: Lengths = field(default_factory=Lengths)
    encoder_fit: EncoderFit = field(default_factory=EncoderFit)
    screen_fit: ScreenFit = field(default_factory=ScreenFit)

    def __post_init__(self) -> None:
        if not self.traces:
            raise ValueError("traces is empty: name at least one JSON Lines file of traces")
        for name in ("harmless_limit", "touchy_limit", "safe_limit"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ValueError(f"{name} is {getattr(self, name)}: give a share from 0 to 1")
        if not 0.0 < self.verify_alarm < 1.0:
            raise ValueError(f"verify_alarm is {self.verify_alarm}: give a number between 0 and 1")
        if self.num_folds < 2:
            raise ValueError(f"num_folds is {self.num_folds}: give at least 2")
        if self.max_steps < 1:
            raise ValueError(f"max_steps is {self.max_steps}: give at least 1")

    @property
    def student(self) -> Path:
        """Where the student is written."""
        return self.out / "student"

    def to_json(self) -> dict[str, Any]:
        """A plain mapping, for the run's folder."""
        return json.loads(json.dumps(asdict(self), default=str))
