"""`rerail detect`: step scores for recorded traces."""

import hashlib
from itertools import islice
from pathlib import Path

from ..guard import GuardConfig
from .cli_errors import UsageError, options_checked, say


def detect(
    *,
    traces: Path,
    out: Path,
    detector: str = "student",
    threshold: float | None = None,
    threshold_inside: float | None = None,
    streams: int = 64,
) -> int:
    """Score recorded traces step by step, and say where the guard would first intervene.

    For every trace one line is written: `id`, `scores` (for each of its `steps` the highest token
    score in it) and `intervene` (the index of the step at which the policy would first intervene,
    or -1). The text runs through the same machinery as a live generation. A run that was stopped
    goes on where it was when the same command is given again.

    Examples

        rerail detect --traces traces.jsonl --out scores.jsonl
        rerail detect --traces traces.jsonl --out scores.jsonl --detector keywords

    Parameters
    ----------
    traces
        JSON Lines: a trace a line with `id`, `request`, `think` and `steps`, the character spans
        of its sentences.
    out
        Where the scores go; the file appears when it is whole.
    detector
        `student` (the one that comes with rerail), `keywords`, the folder of a student, or
        `module:name`, what makes one of your own.
    threshold
        Probability at a step's end from which it counts as a cue; the detector's own by default.
    threshold_inside
        The same inside a step, acted on at once.
    streams
        How many traces are read side by side.
    """
    if streams < 1:
        raise UsageError(f"--streams is {streams}: give at least 1")
    with options_checked():
        config = GuardConfig(threshold=threshold, threshold_inside=threshold_inside)
    from ..guard.detector_loading import load_detector
    from ..guard.progress import progress
    from .detect import detections
    from .draft_lines import DraftLines
    from .recorded import read_recorded

    # Every line is checked before the first is scored: a long run must not end at a broken one.
    digest = hashlib.sha256(traces.read_bytes()).hexdigest()
    total = sum(1 for _ in read_recorded(traces))
    loaded = load_detector(detector)
    run = {"traces": digest, "detector": loaded.identity}
    run |= {"threshold": threshold, "threshold_inside": threshold_inside}
    with DraftLines(out, run) as lines:
        if lines.num_kept:
            say(f"going on after the {lines.num_kept} traces that an earlier run has scored")
        rest = islice(read_recorded(traces), lines.num_kept, None)
        num_cues = 0
        with progress("Scoring traces", total, lines.num_kept) as advance:
            try:
                for found in detections(rest, loaded, config, num_streams=streams):
                    scores = [None if each is None else round(each, 6) for each in found.scores]
                    record = {"id": found.id, "scores": scores, "intervene": found.intervene}
                    lines.write(record)
                    num_cues += found.intervene >= 0
                    advance()
            except KeyboardInterrupt:
                lines.flush()
                raise KeyboardInterrupt(
                    f"interrupted; give the same command again to go on from {lines.draft}"
                ) from None
        lines.finish()
    scored = total - lines.num_kept
    say(
        f"{out}: {total} traces; the guard would intervene in {num_cues} of the {scored} scored now"
    )
    return 0
