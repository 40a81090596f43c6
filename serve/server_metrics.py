"""Prometheus metrics of one server, in a registry of its own.

What happened in generations is counted from finished traces, the same ones that are stored.
"""

from collections.abc import Callable, Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from ..guard import Action, Author, Channel, Scanned, Trace
from .trace_writer import TraceWriter

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)
_CALL_SECONDS = (0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.5)
_TOKENS = (1, 2, 5, 10, 20, 35, 50, 75, 100, 200, 500, 1000)
_SCORES = tuple(round(0.05 * step, 2) for step in range(1, 20))


class Metrics:
    """All counters; safe to use from several threads."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self.requests = self._counter("requests", "Answered requests.", "endpoint", "status")
        self.errors = self._counter("errors", "What went wrong, by kind.", "kind")
        self.request_seconds = self._histogram(
            "request_seconds", "From a request's head to its last byte.", _SECONDS, "endpoint"
        )
        self.first_seconds = self._histogram(
            "first_release_seconds", "From a request's head to its first released text.", _SECONDS
        )
        self._generations = self._counter(
            "generations",
            "Finished generations; only scanned=all have been read to the end.",
            "scanned",
            "action",
            "finish_reason",
        )
        self._scanned = self._counter(
            "scanned_generations", "How much a detector has read of generations.", "scanned"
        )
        self._judged = self._counter("tokens_judged", "Sampled tokens that a detector has scored.")
        self._sampled = self._counter("tokens_sampled", "Tokens sampled from the model.")
        self._injected = self._counter("tokens_injected", "Tokens of triggers and refusals.")
        self._rolled_back = self._counter("tokens_rolled_back", "Sampled tokens taken out again.")
        self._leaked = self._counter("tokens_leaked", "Released tokens that were taken back.")
        self._steps = self._counter("steps_judged", "Judged steps.", "channel", "verdict")
        self._interventions = self._counter(
            "interventions", "Steps that were taken out.", "channel", "kind"
        )
        self._wait = self._histogram(
            "wait_tokens", "Longest run of tokens without a release, by generation.", _TOKENS
        )
        self._scores = self._histogram("step_score", "Probability of a cue, by step.", _SCORES)
        self.detector_seconds = self._histogram(
            "detector_seconds", "One joint call of the detector.", _CALL_SECONDS, "call"
        )
        self.detector_batch = self._histogram(
            "detector_batch", "Streams in one joint call.", (1, 2, 4, 8, 16, 32, 64, 128, 256)
        )
        for state in Scanned:
            self._scanned.labels(state.value)
        for channel in Channel:
            self._interventions.labels(channel.value, Action.INTERVENE.value)

    def watch(self, name: str, text: str, read: Callable[[], float]) -> None:
        """A gauge that is read when the metrics are asked for."""
        Gauge(f"rerail_{name}", text, registry=self._registry).set_function(read)

    def watch_writer(self, writer: TraceWriter) -> None:
        """Gauges of what waits to be stored, and of what was lost."""
        self.watch("store_waiting", "Traces that wait to be stored.", lambda: writer.num_waiting)
        self.watch("store_stored", "Traces stored.", lambda: writer.num_stored)
        self.watch("store_lost", "Traces that could not be stored.", lambda: writer.num_lost)
        self.watch("store_failing", "1 while the store refuses.", lambda: float(writer.failing))

    def finished(self, trace: Trace) -> None:
        """Counts a generation."""
        scanned, action = trace.scanned.value, trace.action.value
        self._generations.labels(scanned, action, trace.finish_reason.value).inc()
        self._scanned.labels(scanned).inc()
        tables = (trace.tokens, *(each.rolled_back for each in trace.interventions))
        self._judged.inc(
            sum(
                score is not None and author is not Author.INJECTED
                for table in tables
                for score, author in zip(table.scores, table.authors, strict=True)
            )
        )
        self._sampled.inc(trace.sampled_tokens)
        self._injected.inc(sum(each.num_injected for each in trace.interventions))
        self._rolled_back.inc(trace.num_rolled_back)
        self._leaked.inc(trace.leaked_tokens)
        self._wait.observe(trace.wait_tokens)
        for step in trace.steps:
            self._steps.labels(step.channel.value, step.verdict.value).inc()
            if step.probability is not None:
                self._scores.observe(step.probability)
        for each in trace.interventions:
            kind = Action.INTERVENE if each.trigger_id is not None else Action.BLOCK
            self._interventions.labels(each.channel.value, kind.value).inc()
        if trace.failures:
            self.errors.labels("detector").inc(len(trace.failures))

    def page(self) -> bytes:
        """The text that Prometheus reads."""
        return generate_latest(self._registry)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"rerail_{name}", text, labels, registry=self._registry)

    def _histogram(self, name: str, text: str, buckets: Sequence[float], *labels: str) -> Histogram:
        return Histogram(f"rerail_{name}", text, labels, buckets=buckets, registry=self._registry)
