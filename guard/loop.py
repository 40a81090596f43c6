"""The guarded loop: stream, segment, score, decide, release or roll back, record."""

from collections.abc import Iterator, Mapping
from typing import Any

from .backend import Backend
from .events import Event
from .guard import Guard
from .judge import judge
from .prompt import Prompt
from .session import Session


def guarded(
    backend: Backend,
    guard: Guard,
    prompt: Prompt,
    sampling: Mapping[str, Any] | None = None,
    *,
    stream_index: int = 0,
) -> Iterator[Event]:
    """Generates under the guard; gives the events as they happen, `Finished` last.

    Closing the iterator cancels the generation: what there is by then is recorded as cancelled.
    """
    session = guard.open(prompt, backend.reasoning_format, stream_index=stream_index)
    try:
        while session.trace is None:
            if session.directive is None:
                yield from _stream(backend, guard, session, sampling or {})
            if session.directive is not None:
                text = session.directive.text
                session.inject(backend.encode(text, prompt, session.tokens))
            judge(guard.detector, [session])
            yield from session.take_events()
    finally:
        if session.trace is None:
            session.cancel()
        guard.finished(session)


def _stream(
    backend: Backend, guard: Guard, session: Session, sampling: Mapping[str, Any]
) -> Iterator[Event]:
    """Feeds one run of the engine, until it ends or the session has a directive."""
    stream = backend.stream(session.prompt, session.tokens, sampling)
    try:
        for tokens in stream:
            session.feed(tokens)
            judge(guard.detector, [session])
            yield from session.take_events()
            if session.directive is not None:
                return
        session.end(stream.finish_reason)
        judge(guard.detector, [session])
        yield from session.take_events()
    finally:
        stream.close()
