"""`rerail trace`: what the guard has recorded."""

import json
import sys
from typing import Annotated

from cyclopts import Parameter

from ..guard import Action
from ..guard.store_query import TraceFilter, TraceOrder
from .cli_errors import options_checked
from .options import Moment, StorePlace


def list_traces(
    *,
    action: Action | None = None,
    model: str | None = None,
    topic: str | None = None,
    trigger: str | None = None,
    contains: str | None = None,
    min_score: float | None = None,
    since: Moment = None,
    until: Moment = None,
    order: TraceOrder = TraceOrder.NEWEST,
    limit: int = 20,
    as_json: Annotated[bool, Parameter(name="--json")] = False,
    place: StorePlace = StorePlace(),  # noqa: B008  (frozen: sharing it is harmless)
) -> None:
    """List the recorded traces, the newest first.

    Examples

        rerail trace list --action intervene
        rerail trace list --since 7d --min-score 0.5 --order score
        rerail trace list --json | jq .id

    Parameters
    ----------
    action
        Only those in which this was the strongest thing that the guard did.
    model
        Only this model's, by its whole name.
    topic
        Only those filed under this topic.
    trigger
        Only those in which the trigger with this id was used.
    contains
        Only those with these words in the request, the kept or the rolled-back text.
    min_score
        Only those whose highest probability of a cue is at least this, from 0 to 1.
    since
        Only those begun since: a date, a time, or an age such as `2h` or `7d`.
    until
        Only those begun before.
    order
        How they are sorted.
    limit
        How many at most.
    as_json
        One JSON object a line.
    """
    with options_checked():
        wanted = TraceFilter(
            action=action,
            model=model,
            topic=topic,
            trigger=trigger,
            contains=contains,
            min_score=min_score,
            since=since,
            until=until,
            order=order,
            limit=limit,
        )
    with place.open(read_only=True) as store:
        found = store.summaries(wanted)
        total = store.count(wanted)
    if as_json:
        from .records import summary_record

        for summary in found:
            sys.stdout.write(json.dumps(summary_record(summary)) + "\n")
        return
    from .trace_view import show_summaries

    show_summaries(found, total)


def show(
    trace_id: str = "last",
    /,
    *,
    as_json: Annotated[bool, Parameter(name="--json")] = False,
    place: StorePlace = StorePlace(),  # noqa: B008
) -> None:
    """Show one trace step by step: scores, cues that were taken out, triggers.

    Examples

        rerail trace show
        rerail trace show 0199c1
        rerail trace show last --json | jq .steps

    Parameters
    ----------
    trace_id
        The trace's id, or enough of its beginning; `last` is the newest.
    as_json
        The whole record as one JSON object, tokens and scores included.
    """
    with place.open(read_only=True) as store:
        if trace_id == "last":
            newest = store.summaries(TraceFilter(limit=1))
            if not newest:
                raise ValueError(f"the store {store.name} holds no traces yet")
            trace_id = newest[0].id
        trace = store.get(trace_id)
    if as_json:
        from .records import trace_record

        sys.stdout.write(json.dumps(trace_record(trace), default=str) + "\n")
        return
    from .trace_view import show_trace

    show_trace(trace)
