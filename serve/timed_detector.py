"""A detector whose calls are measured, in a server's metrics."""

import time
from collections.abc import Sequence
from typing import Any

from ..guard import Channel, Detector
from ..guard.detector import Message, Probabilities, Thresholds, quick_one
from .server_metrics import Metrics


class TimedDetector:
    """A detector whose calls are measured; otherwise the detector itself."""

    def __init__(self, detector: Detector, metrics: Metrics) -> None:
        self._detector = detector
        self._quick = quick_one(detector)
        self.reads_words_at_once = self._quick is not None
        self._batch = metrics.detector_batch
        self._start, self._score, self._end_step = (
            metrics.detector_seconds.labels(call) for call in ("start", "score", "end_step")
        )

    @property
    def identity(self) -> str:
        return self._detector.identity

    @property
    def thresholds(self) -> Thresholds:
        return self._detector.thresholds

    def start(self, messages: Sequence[Message]) -> Any:
        began = time.perf_counter()
        state = self._detector.start(messages)
        self._start.observe(time.perf_counter() - began)
        return state

    def score(
        self, states: Sequence[Any], texts: Sequence[str], channels: Sequence[Channel]
    ) -> tuple[list[Any], Probabilities]:
        self._batch.observe(len(states))
        began = time.perf_counter()
        result = self._detector.score(states, texts, channels)
        self._score.observe(time.perf_counter() - began)
        return result

    def end_step(
        self, states: Sequence[Any], steps: Sequence[str]
    ) -> tuple[list[Any], Probabilities]:
        began = time.perf_counter()
        result = self._detector.end_step(states, steps)
        self._end_step.observe(time.perf_counter() - began)
        return result

    def end_step_at_once(
        self, states: Sequence[Any], steps: Sequence[str]
    ) -> tuple[list[Any], Probabilities] | None:
        if self._quick is None:
            return None
        began = time.perf_counter()
        result = self._quick.end_step_at_once(states, steps)
        if result is not None:
            self._end_step.observe(time.perf_counter() - began)
        return result
