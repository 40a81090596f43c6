"""Rebuilds the shipped student: `python -m rerail.distill.shipped --data DIR --encoder DIR ...`.

The encoder is fitted in passes, each going on from the one before with another sample: a pass is
short enough to be looked at before the next, and the held-out fold is the same in all. An hour and
a half on one core. The result is the same in kind and not bit for bit: sums differ by machine.
"""

import argparse
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from .config import DistillConfig
from .encoder_fit import EncoderFit
from .run import distill, fit_encoder_only
from .screen_fit import ScreenFit

logger = logging.getLogger(__name__)

HELD_MARKS = ("china", "ccp")
"""Essays about one country are held out: the trace ids name it."""


@dataclass(frozen=True, slots=True)
class Pass:
    """One pass over a sample of everything."""

    learning_rate: float
    requests: Mapping[str, float] = field(default_factory=dict)
    """Share of the requests, by file; all of those not named."""

    traces: Mapping[str, float] = field(default_factory=dict)
    """Share of the traces, by file."""

    opener_share: float = 0.0


_FEW = {"gsm8k_test": 0.08, "math500": 0.2, "star1_r1_safe": 0.1}
_NARROW = {"advbench_r1_llama_8b": 0.05, "star1_r1_safe": 0.02, "essays_benign": 0.02}
PASSES: tuple[Pass, ...] = (
    Pass(1e-4, requests={"requests": 0.0, "requests_b": 0.0}),
    Pass(1e-4, requests=_FEW | {"harmfulqa": 0.5, "catqa_english": 0.7}, traces=_NARROW | {
        "authored": 0.2}, opener_share=0.22),
    Pass(8e-5, requests=_FEW | {"harmfulqa": 0.2, "catqa_english": 0.4, "do_not_answer": 0.3,
        "requests": 0.6}, traces=_NARROW | {"authored": 0.2, "traces_a": 0.45, "traces_b": 0.45},
        opener_share=0.15),
    Pass(8e-5, requests=_FEW | {"harmfulqa": 0.25, "catqa_english": 0.5, "do_not_answer": 0.4},
        traces=_NARROW | {"authored": 0.1, "traces_a": 0.1, "traces_b": 0.15, "traces_c": 0.5},
        opener_share=0.1),
    Pass(7e-5, requests=_FEW | {"harmfulqa": 0.3, "catqa_english": 0.6, "do_not_answer": 0.4,
        "requests": 0.6}, traces=_NARROW | {"authored": 0.15, "traces_a": 0.1, "traces_b": 0.25,
        "traces_c": 0.3}, opener_share=0.12),
    Pass(7e-5, requests=_FEW | {"harmfulqa": 0.1, "catqa_english": 0.2, "do_not_answer": 0.15,
        "or_bench": 0.4, "requests": 0.25, "requests_b": 0.3}, traces=_NARROW | {"authored": 0.08,
        "traces_a": 0.08, "traces_b": 0.15, "traces_c": 0.2}, opener_share=0.1),
)  # fmt: skip
"""The passes of the shipped student, in order."""


def rebuild(
    data: Path,
    corpus: Path,
    encoder: str,
    out: Path,
    *,
    sandbox_traces: Sequence[Path] = (),
    sandbox_requests: Sequence[Path] = (),
) -> Path:
    """Fits the passes and distils; gives the student's folder.

    `data` holds `traces/` and `prompts/`, `corpus` this project's own files. Sandbox files, if
    given, are learned from too; sandbox traces are not used for thresholds. Resumable.
    """
    own = sorted(corpus.glob("traces*.jsonl"))
    real = (*sorted((data / "traces").glob("*.jsonl")), *own)
    asked = (
        *sorted((data / "prompts").glob("*.jsonl")),
        *sorted(corpus.glob("requests*.jsonl")),
        *sandbox_requests,
    )
    before: Path | None = None
    config: DistillConfig | None = None
    for number, one in enumerate(PASSES):
        config = DistillConfig(
            out=out / f"pass-{number}",
            traces=(*real, *sandbox_traces),
            requests=asked,
            encoder=encoder,
            initial_encoder=before,
            held_marks=HELD_MARKS,
            request_shares=dict(one.requests),
            trace_shares=dict(one.traces),
            opener_share=one.opener_share,
            max_steps=14,
            encoder_fit=EncoderFit(num_epochs=1, learning_rate=one.learning_rate, seed=number),
        )
        before = fit_encoder_only(config)
        logger.info("pass %d of %d done", number + 1, len(PASSES))
    assert config is not None and before is not None
    final = replace(
        config,
        out=out / "final",
        traces=real,
        initial_encoder=before,
        num_replayed=520,
        harmless_limit=0.02,
        screen_fit=ScreenFit(num_epochs=4, max_units=300),
        num_soft_traces=350,
    )
    return distill(final, fitted=before)


def main() -> None:
    """The command line of this module."""
    parser = argparse.ArgumentParser(description="Rebuild the shipped student.")
    parser.add_argument("--data", type=Path, required=True, help="folder with traces/ and prompts/")
    parser.add_argument("--corpus", type=Path, default=Path("distill/corpus"))
    parser.add_argument("--encoder", default=DistillConfig.__dataclass_fields__["encoder"].default)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--sandbox-traces", type=Path, nargs="*", default=[])
    parser.add_argument("--sandbox-requests", type=Path, nargs="*", default=[])
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    folder = rebuild(
        options.data,
        options.corpus,
        options.encoder,
        options.out,
        sandbox_traces=options.sandbox_traces,
        sandbox_requests=options.sandbox_requests,
    )
    logger.info("copy the files of %s to guard/student", folder)


if __name__ == "__main__":
    main()
