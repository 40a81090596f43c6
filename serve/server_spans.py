"""OpenTelemetry spans, where the extra `otel` is installed; nothing at all otherwise.

Spans go wherever the process' own OpenTelemetry set-up sends them (`opentelemetry-instrument`, or
the SDK). They carry counts and states, never text.
"""

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import Any

from ..guard import Trace

try:
    from opentelemetry import propagate, trace
except ImportError:  # pragma: no cover - needs an environment without the extra
    trace = propagate = None


class Span:
    """One span, or none."""

    def __init__(self, span: Any | None) -> None:
        self._span = span

    def set(self, **attributes: Any) -> None:
        """Adds attributes, those that are `None` left out."""
        if self._span is not None:
            for name, value in attributes.items():
                if value is not None:
                    self._span.set_attribute(f"rerail.{name}", value)

    def generation(self, index: int, finished: Trace) -> None:
        """A generation has ended."""
        if self._span is not None:
            attributes = {
                "rerail.index": index,
                "rerail.trace_id": finished.id,
                "rerail.scanned": finished.scanned.value,
                "rerail.action": finished.action.value,
                "rerail.finish_reason": finished.finish_reason.value,
                "rerail.sampled_tokens": finished.sampled_tokens,
                "rerail.kept_tokens": len(finished.tokens),
                "rerail.interventions": len(finished.interventions),
                "rerail.wait_tokens": finished.wait_tokens,
                "rerail.leaked_tokens": finished.leaked_tokens,
            }
            self._span.add_event("generation", attributes)


@contextmanager
def request_span(name: str, headers: Mapping[str, str]) -> Generator[Span]:
    """A span for one request, below the caller's own where its headers name one."""
    if trace is None or propagate is None:
        yield Span(None)
        return
    tracer = trace.get_tracer("rerail.serve")
    context = propagate.extract(headers)
    # Exceptions may quote a request, so they are not recorded.
    with tracer.start_as_current_span(
        name, context=context, kind=trace.SpanKind.SERVER, record_exception=False
    ) as span:
        yield Span(span)
