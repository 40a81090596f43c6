"""What to look for in a store: filters, orders, and the lines that a list shows."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, Table, case, exists, func, or_, select

from .channels import Channel
from .store_schema import INTERVENTIONS, PAIRS, TRACE_CHANNELS, TRACES
from .traces import Action, FinishReason, Scanned

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class TraceOrder(StrEnum):
    """How a list of traces is sorted; equal ones by when they were stored, newest first."""

    NEWEST = "newest"
    """Begun last, first."""

    OLDEST = "oldest"
    """Begun first, first."""

    SCORE = "score"
    """By the highest probability of a cue, highest first; those without one last."""

    INTERVENTIONS = "interventions"
    """By number, most first."""

    TOKENS = "tokens"
    """By kept tokens, most first."""

    DURATION = "duration"
    """By seconds, longest first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceFilter:
    """Which traces; every condition that is set has to hold. Wrong values raise `ValueError`."""

    since: datetime | None = None
    """Begun at this time or later; with a time zone, as every time here."""

    until: datetime | None = None
    """Begun before this time."""

    model: str | None = None
    """`name@hash`, or the name alone for all models that had it; `detector` likewise."""

    detector: str | None = None
    topic: str | None = None
    action: Action | None = None
    channel: Channel | None = None
    """Only this channel counts; `action` and `min_score` are then its own."""

    min_score: float | None = None
    """The highest probability of a cue, 0..1, is at least this."""

    contains: str | None = None
    """In the request, the kept or the rolled-back text, in upper or lower case."""

    trigger: str | None = None
    """Id of a trigger that was used."""

    finish: FinishReason | None = None
    order: TraceOrder = TraceOrder.NEWEST
    limit: int | None = None
    """So many at most; all where `None`."""

    offset: int = 0
    """So many of the first are left out."""

    def __post_init__(self) -> None:
        check_window(self.since, self.until, self.limit)
        if self.offset < 0:
            raise ValueError(f"offset is {self.offset}: give 0 or more")
        if self.min_score is not None and not 0.0 <= self.min_score <= 1.0:
            raise ValueError(f"min_score is {self.min_score}: give a number from 0 to 1")


@dataclass(frozen=True, slots=True, kw_only=True)
class PairFilter:
    """Which pairs, oldest first; every condition that is set has to hold."""

    since: datetime | None = None
    until: datetime | None = None
    model: str | None = None
    topic: str | None = None
    trigger: str | None = None
    trace: str | None = None
    """Whole id of the trace."""

    complete: bool | None = None
    """Only those with, or without, the original continuation to its end."""

    min_probability: float | None = None
    """Of the cue; pairs whose cue was never scored fall out."""

    limit: int | None = None
    """So many at most; all where `None`."""

    def __post_init__(self) -> None:
        check_window(self.since, self.until, self.limit)


@dataclass(frozen=True, slots=True)
class TraceSummary:
    """A trace as a line in a list; what `Trace` has under the same name."""

    sequence: int
    """Counts in the order in which traces were stored."""

    id: str
    created_at: datetime
    duration_s: float
    model: str
    detector: str
    policy: str
    action: Action
    finish_reason: FinishReason
    scanned: Scanned
    num_tokens: int
    """Kept tokens after the prompt."""

    num_interventions: int
    num_rolled_back: int
    leaked_tokens: int
    wait_tokens: int
    max_score: float | None
    topic: str | None
    redacted: bool
    """Stored without its texts and ids."""

    request: str
    """The beginning of the last user turn."""


SUMMARY_COLUMNS = (
    *(TRACES.c[name] for name in TraceSummary.__dataclass_fields__ if name != "created_at"),
    TRACES.c.created_us,
)
"""What `summary_of` makes a `TraceSummary` of."""

TRIGGER_SUCCESS = (
    select(
        INTERVENTIONS.c.trigger_id,
        func.sum(case((INTERVENTIONS.c.succeeded, 1), else_=0)),
        func.count(),
    )
    .where(INTERVENTIONS.c.trigger_id.is_not(None), INTERVENTIONS.c.succeeded.is_not(None))
    .group_by(INTERVENTIONS.c.trigger_id)
)
"""By trigger: how often no further cue followed, and how often that could be told."""

_ORDERS = {
    TraceOrder.NEWEST: TRACES.c.created_us.desc(),
    TraceOrder.OLDEST: TRACES.c.created_us.asc(),
    TraceOrder.SCORE: TRACES.c.max_score.desc().nulls_last(),
    TraceOrder.INTERVENTIONS: TRACES.c.num_interventions.desc(),
    TraceOrder.TOKENS: TRACES.c.num_tokens.desc(),
    TraceOrder.DURATION: TRACES.c.duration_s.desc(),
}


def microseconds(moment: datetime) -> int:
    """Since 1970; a time without a zone is taken as UTC."""
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return (aware - _EPOCH) // timedelta(microseconds=1)


def summary_of(row: Row[Any]) -> TraceSummary:
    """From a row of `SUMMARY_COLUMNS`."""
    values = dict(row._mapping)  # pyright: ignore[reportPrivateUsage]  (public, says SQLAlchemy)
    values["created_at"] = _EPOCH + timedelta(microseconds=values.pop("created_us"))
    values["action"] = Action(values["action"])
    values["finish_reason"] = FinishReason(values["finish_reason"])
    values["scanned"] = Scanned(values["scanned"])
    return TraceSummary(**values)


def matching_traces(query: Select[Any], wanted: TraceFilter) -> Select[Any]:
    """`query` over the traces, narrowed, sorted and cut to the page that is wanted."""
    query = query.where(*trace_conditions(wanted))
    tie = TRACES.c.sequence
    query = query.order_by(
        _ORDERS[wanted.order], tie.asc() if wanted.order is TraceOrder.OLDEST else tie.desc()
    )
    if wanted.limit is not None:
        query = query.limit(wanted.limit)
    if wanted.offset:
        query = query.offset(wanted.offset)
    return query


def trace_conditions(wanted: TraceFilter) -> list[ColumnElement[bool]]:
    """The conditions of a filter, without its order and page."""
    conditions = _window(TRACES, wanted.since, wanted.until)
    for name, value in (("model", wanted.model), ("detector", wanted.detector)):
        if value is not None:
            conditions.append(_called(TRACES.c[name], cleaned(value)))
    for name, value in (
        ("topic", wanted.topic),
        ("finish_reason", wanted.finish),
    ):
        if value is not None:
            conditions.append(TRACES.c[name] == cleaned(value))
    per_channel = TRACES if wanted.channel is None else TRACE_CHANNELS
    judged: list[ColumnElement[bool]] = []
    if wanted.action is not None:
        judged.append(per_channel.c.action == wanted.action)
    if wanted.min_score is not None:
        judged.append(per_channel.c.max_score >= wanted.min_score)
    if wanted.channel is None:
        conditions += judged
    else:
        in_channel = TRACE_CHANNELS.c.trace_id == TRACES.c.id
        named = TRACE_CHANNELS.c.channel == wanted.channel
        conditions.append(exists().where(in_channel, named, *judged))
    if wanted.contains is not None:
        needle = cleaned(wanted.contains).casefold()
        conditions.append(TRACES.c.search.contains(needle, autoescape=True))
    if wanted.trigger is not None:
        used = INTERVENTIONS.c.trigger_id == cleaned(wanted.trigger)
        conditions.append(exists().where(INTERVENTIONS.c.trace_id == TRACES.c.id, used))
    return conditions


def matching_pairs(wanted: PairFilter) -> Select[Any]:
    """The sequences of the pairs that are wanted, oldest first."""
    query = select(PAIRS.c.sequence).where(*_window(PAIRS, wanted.since, wanted.until))
    if wanted.model is not None:
        query = query.where(_called(PAIRS.c.model, cleaned(wanted.model)))
    if wanted.complete is not None:
        query = query.where(PAIRS.c.complete == wanted.complete)
    for name, value in (
        ("topic", wanted.topic),
        ("trigger_id", wanted.trigger),
        ("trace_id", wanted.trace),
    ):
        if value is not None:
            query = query.where(PAIRS.c[name] == cleaned(value))
    if wanted.min_probability is not None:
        query = query.where(PAIRS.c.probability >= wanted.min_probability)
    query = query.order_by(PAIRS.c.created_us, PAIRS.c.sequence)
    return query if wanted.limit is None else query.limit(wanted.limit)


def _called(column: ColumnElement[str], name: str) -> ColumnElement[bool]:
    """Of this name: the whole one, `name@hash`, or what stands before its hash."""
    return or_(column == name, column.startswith(f"{name}@", autoescape=True))


def cleaned(text: str) -> str:
    """`text` as every database takes it: no NUL, no half of a surrogate pair."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        text = text.encode("utf-8", "replace").decode("utf-8")
    return text.replace("\x00", "\ufffd")


def check_window(since: datetime | None, until: datetime | None, limit: int | None) -> None:
    """Raises `ValueError` for times without a zone and for limits below 1."""
    for name, moment in (("since", since), ("until", until)):
        if moment is not None and moment.tzinfo is None:
            raise ValueError(f"{name} is {moment.isoformat()}: give a time with its zone")
    if limit is not None and limit < 1:
        raise ValueError(f"limit is {limit}: give at least 1")


def _window(
    table: Table, since: datetime | None, until: datetime | None
) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    if since is not None:
        conditions.append(table.c.created_us >= microseconds(since))
    if until is not None:
        conditions.append(table.c.created_us < microseconds(until))
    return conditions
