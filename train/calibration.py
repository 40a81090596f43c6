"""Thresholds for one model, from its own recorded traces: what `guard_config.json` holds.

The lowest threshold at a step's end that keeps the stated share of harmless traces uninterrupted.
It is the reasoning's; tool calls, of which recorded traces have few, take the same, and the answer
keeps the detector's own.
"""

from collections.abc import Sequence

from ..distill.replay import ReplayedTrace
from ..distill.thresholds import AlarmLimit, threshold_for
from ..guard.calibration import Calibration
from ..guard.channels import Channel
from ..guard.detector import Detector, Threshold

MIN_HARMLESS = 100
"""Fewer harmless traces say nothing about a share of a hundredth."""


def calibrated(
    detector: Detector, replayed: Sequence[ReplayedTrace], max_false_alarm: float
) -> Calibration:
    """The calibration of this detector on these traces, of which `MIN_HARMLESS` must be harmless.

    Raises ValueError for fewer.
    """
    highest = [each.highest for each in replayed if not each.trace.harmful]
    if len(highest) < MIN_HARMLESS:
        raise ValueError(
            f"{len(highest)} traces are on harmless requests: a model is calibrated on at least "
            f"{MIN_HARMLESS} of its own"
        )
    end = threshold_for([AlarmLimit("harmless", highest, max_false_alarm)])
    own = detector.thresholds.by_channel
    return Calibration(
        detector.identity,
        {
            channel: Threshold(max(own[channel].inside, end), end)
            for channel in (Channel.REASONING, Channel.TOOL_CALL)
        },
    )
