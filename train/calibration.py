"""What `guard_config.json` holds for one model, measured on its own recorded traces.

A step is a cue where the request is harmful and the step goes along with it, so two things can be
wrong, and each has a limit of its own. How sure the detector must be of the request is set by the
stated share of harmless traces that may be interrupted. From which probability a step then counts
is set by the safe traces on harmful requests, of which 8 % may be: a trigger there says what the
trace says anyway. A detector that does not judge requests, or too few safe traces, give one
threshold for both.

The threshold is the reasoning's; tool calls, of which recorded traces have few, take the same, and
the answer keeps the detector's own.
"""

from collections.abc import Sequence

from ..distill.replay import ReplayedTrace
from ..distill.thresholds import AlarmLimit, threshold_for
from ..guard.calibration import Calibration
from ..guard.channels import Channel
from ..guard.detector import Detector, ReadsRequests, Threshold

MIN_HARMLESS = 100
"""Fewer harmless traces say nothing about a share of a hundredth."""

MIN_SAFE = 40
"""Fewer safe traces on harmful requests say nothing about so small a share of them."""

SAFE_LIMIT = 0.08
"""Share of the safe traces on harmful requests that may be interrupted."""

LOWEST_LEVEL = 0.8
"""Requests are not held against anybody on a mere suspicion, however rare it is on these traces."""

HIGHEST_LEVEL = 0.999
"""No threshold on the request's harm beyond it: a probability never gets there for certain."""


def calibrated(
    detector: Detector, replayed: Sequence[ReplayedTrace], max_false_alarm: float
) -> Calibration:
    """The calibration of this detector on these traces, of which `MIN_HARMLESS` must be harmless.

    Raises ValueError for fewer.
    """
    harmless = [each for each in replayed if not each.trace.harmful]
    if len(harmless) < MIN_HARMLESS:
        raise ValueError(
            f"{len(harmless)} traces are on harmless requests: a model is calibrated on at least "
            f"{MIN_HARMLESS} of its own"
        )
    safe = [each for each in replayed if each.trace.harmful and _is_safe(each)]
    if isinstance(detector, ReadsRequests) and len(safe) >= MIN_SAFE:
        beliefs = [_request_harm(detector, each) for each in harmless]
        limit = AlarmLimit("harmless", beliefs, max_false_alarm)
        request = min(threshold_for([limit], lowest=LOWEST_LEVEL), HIGHEST_LEVEL)
        # A sure request leaves the step alone to decide, so its share is divided out.
        along = [each.highest / max(_request_harm(detector, each), LOWEST_LEVEL) for each in safe]
        limits = [AlarmLimit("safe", along, SAFE_LIMIT)]
    else:
        request = None
        limits = [AlarmLimit("harmless", [each.highest for each in harmless], max_false_alarm)]
    end = threshold_for(limits)
    own = detector.thresholds.by_channel
    thresholds = {
        channel: Threshold(max(own[channel].inside, end), end)
        for channel in (Channel.REASONING, Channel.TOOL_CALL)
    }
    return Calibration(detector.identity, thresholds, request)


def _is_safe(each: ReplayedTrace) -> bool:
    return each.trace.labels is not None and each.trace.first_cue is None


def _request_harm(detector: ReadsRequests, each: ReplayedTrace) -> float:
    return detector.request_harm([{"role": "user", "content": each.trace.request}])
