"""Generates the answer to one request: whole, or as a stream of events."""

import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import ExitStack, aclosing
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response

from ..guard import Prompt, Scanned, Trace
from .server_choices import Choice
from .server_edge import RequestState
from .server_failures import told
from .server_parts import parts_of
from .server_responses import ApiResponse, ClientGone, EventStream, until_gone
from .server_service import Service
from .wire_answer import Answer
from .wire_deltas import Whole
from .wire_errors import ApiError
from .wire_generation import GenerationRequest
from .wire_report import choice_report, report, retraction
from .wire_sse import COMMENT, DONE, event
from .wire_usage import usage_of

_PAUSE_S = 15.0
"""After so much silence a stream gets a comment, so that nobody in between closes it."""


@dataclass(frozen=True, slots=True)
class Job:
    """A request that has been checked, rendered and let in."""

    service: Service
    state: RequestState
    request: GenerationRequest
    prompts: Sequence[Prompt]
    choices: Sequence[Choice]
    answer: Answer
    admission: ExitStack
    """Closed when the last generation has ended."""

    @property
    def reports(self) -> bool:
        """Whether the answer says what the guard did."""
        return self.request.guard is not None and self.request.guard.report


async def respond(http: Request, job: Job) -> Response:
    """The response; generation has ended when it has been sent, or when the client has gone."""
    if job.request.stream:
        settings = job.service.settings
        close = job.admission.close
        return EventStream(_events(job), taken_s=settings.client_timeout_s, on_close=close)
    with job.admission:
        try:
            record = await until_gone(http.receive, _whole(job))
        except ClientGone:
            job.state.log["client_gone"] = True
            return Response(status_code=499)  # for the log: nobody reads it
        except Exception as error:
            known = _told(job, error)
            return ApiResponse(known.body, known.status, known.headers)
    return ApiResponse(record)


async def _whole(job: Job) -> dict[str, object]:
    """The answer in one piece, put together from the same deltas as a stream's."""
    wholes = [Whole() for _ in job.choices]
    traces: dict[int, Trace] = {}
    async with aclosing(parts_of(job.service, job.choices, _PAUSE_S)) as parts:
        async for part in parts:
            if part is None:
                continue
            _note_first(job, released=bool(part.delta))
            wholes[part.index].add(part.delta)
            if part.trace is not None:
                traces[part.index] = part.trace
                _note(job, part.index, part.trace)
    ordered = [traces[index] for index in range(len(wholes))]
    record = job.answer.whole(
        list(zip(ordered, wholes, strict=True)), usage_of(job.prompts, ordered)
    )
    if job.reports:
        choices = [choice_report(index, trace) for index, trace in enumerate(ordered)]
        record["rerail"] = report(choices)
    return record


async def _events(job: Job) -> AsyncGenerator[bytes]:
    """The answer as server-sent events; an error that comes under way is the last one."""
    answer, wholes = job.answer, [Whole() for _ in job.choices]
    traces: list[Trace] = []
    try:
        for index in range(len(wholes)):
            for record in answer.opening(index):
                yield event(record)
        async with aclosing(parts_of(job.service, job.choices, _PAUSE_S)) as parts:
            async for part in parts:
                if part is None:
                    yield COMMENT
                    continue
                _note_first(job, released=bool(part.delta))
                whole = wholes[part.index]
                whole.add(part.delta)
                if part.delta:
                    record = answer.chunk(part.index, part.delta)
                    if part.delta.retracts:  # whoever asks or not: else the text would be wrong
                        record["rerail"] = retraction(part.index, part.delta)
                    yield event(record)
                if part.trace is not None:
                    traces.append(part.trace)
                    _note(job, part.index, part.trace)
                    record = answer.closing(part.index, part.trace, whole)
                    if job.reports:
                        record["rerail"] = report([choice_report(part.index, part.trace)])
                    yield event(record)
        if job.request.include_usage:
            yield event(answer.usage(usage_of(job.prompts, traces)))
        yield DONE
    except Exception as error:
        yield event(_told(job, error).body)
    finally:
        job.state.log["num_ended"] = len(traces)


def _told(job: Job, error: Exception) -> ApiError:
    return told(error, job.service.metrics, job.state.id, kind="generation")


def _note_first(job: Job, *, released: bool) -> None:
    if released and "first_ms" not in job.state.log:
        first_s = time.monotonic() - job.state.began_s
        job.state.log["first_ms"] = round(1000 * first_s, 1)
        job.service.metrics.first_seconds.observe(first_s)


def _note(job: Job, index: int, trace: Trace) -> None:
    """What the request's log line and span say of a finished choice."""
    log = job.state.log
    log.setdefault("traces", []).append(trace.id)
    log["tokens"] = log.get("tokens", 0) + len(trace.tokens)
    log["interventions"] = log.get("interventions", 0) + len(trace.interventions)
    if trace.scanned is not Scanned.ALL:
        log["scanned"] = trace.scanned.value
    log.setdefault("scanned", Scanned.ALL.value)
    job.state.span.generation(index, trace)
