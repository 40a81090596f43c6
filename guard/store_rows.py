"""A trace and its pairs as rows of the store's tables."""

import math
from collections.abc import Iterable
from typing import Any, NamedTuple

from .channels import Channel
from .decision import Verdict
from .pairs import Pair
from .store_codec import pair_body, trace_body
from .store_query import cleaned, microseconds
from .tokens import TokenTable
from .traces import Action, Trace

_REQUEST_CHARS = 200

_ACTIONS = {
    Verdict.AUDIT: Action.AUDIT,
    Verdict.INTERVENE: Action.INTERVENE,
    Verdict.REFUSE: Action.BLOCK,
    Verdict.STOP: Action.BLOCK,
}
_STRENGTH = {action: strength for strength, action in enumerate(Action)}


class TraceRows(NamedTuple):
    """Everything that one trace puts into the tables, apart from its pairs."""

    trace: dict[str, Any]
    """Of the table `traces`."""

    channels: list[dict[str, Any]]
    """Of the table `trace_channels`, one a channel."""

    interventions: list[dict[str, Any]]
    """Of the table `interventions`, one an intervention."""


def trace_rows(trace: Trace, *, redacted: bool) -> TraceRows:
    """Raises `ValueError` if something in the trace cannot be stored."""
    if not trace.id or cleaned(trace.id) != trace.id:
        raise ValueError(f"{trace.id!r} is no id for a trace")
    rolled_back = [each.rolled_back for each in trace.interventions]
    request = cleaned(trace.request)
    texts = (request, trace.text, *(table.text for table in rolled_back))
    channels = _channel_rows(trace)
    row = {
        "id": trace.id,
        "created_us": microseconds(trace.created_at),
        "duration_s": trace.duration_s,
        "model": cleaned(trace.model),
        "detector": cleaned(trace.detector),
        "policy": cleaned(trace.policy),
        "action": trace.action.value,
        "finish_reason": trace.finish_reason.value,
        "scanned": trace.scanned.value,
        "num_tokens": len(trace.tokens),
        "num_interventions": len(trace.interventions),
        "num_rolled_back": trace.num_rolled_back,
        "leaked_tokens": trace.leaked_tokens,
        "wait_tokens": trace.wait_tokens,
        "max_score": _highest(channel["max_score"] for channel in channels),
        "topic": None if trace.topic is None else cleaned(trace.topic),
        "redacted": redacted,
        "request": request[:_REQUEST_CHARS],
        "search": cleaned("\n".join(text for text in texts if text).casefold()),
        "body": trace_body(trace),
    }
    return TraceRows(row, channels, _intervention_rows(trace))


def pair_row(pair: Pair, created_us: int) -> dict[str, Any]:
    """Raises `ValueError` if something in the pair cannot be stored."""
    return {
        "id": cleaned(pair.id),
        "trace_id": cleaned(pair.trace_id),
        "ordinal": pair.ordinal,
        "created_us": created_us,
        "model": cleaned(pair.model),
        "complete": pair.complete,
        "trigger_id": None if pair.trigger_id is None else cleaned(pair.trigger_id),
        "probability": _plain_float(pair.probability),
        "topic": None if pair.topic is None else cleaned(pair.topic),
        "body": pair_body(pair),
    }


def _channel_rows(trace: Trace) -> list[dict[str, Any]]:
    """One row for each channel with a token or a judged step, kept or rolled back."""
    scores: dict[Channel, list[float | None]] = {}
    actions: dict[Channel, Action] = {}
    for table in (trace.tokens, *(each.rolled_back for each in trace.interventions)):
        _collect(table, scores)
    judged = [
        (step.channel, step.probability, _ACTIONS.get(step.verdict, Action.ALLOW))
        for step in trace.steps
    ]
    judged += [
        (each.channel, each.probability, Action.INTERVENE if each.trigger_id else Action.BLOCK)
        for each in trace.interventions
    ]
    for channel, probability, action in judged:
        scores.setdefault(channel, []).append(probability)
        before = actions.get(channel, Action.ALLOW)
        actions[channel] = max(action, before, key=_STRENGTH.__getitem__)
    return [
        {
            "trace_id": trace.id,
            "channel": channel.value,
            "max_score": _highest(values),
            "action": actions.get(channel, Action.ALLOW).value,
        }
        for channel, values in scores.items()
    ]


def _collect(table: TokenTable, scores: dict[Channel, list[float | None]]) -> None:
    for channel in {*table.channels} - {None}:
        assert channel is not None
        own = [
            score
            for each, score in zip(table.channels, table.scores, strict=True)
            if each is channel
        ]
        scores.setdefault(channel, []).extend(own)


def _intervention_rows(trace: Trace) -> list[dict[str, Any]]:
    return [
        {
            "trace_id": trace.id,
            "ordinal": ordinal,
            "channel": each.channel.value,
            "step_index": each.step_index,
            "probability": _plain_float(each.probability),
            "trigger_id": None if each.trigger_id is None else cleaned(each.trigger_id),
            "trigger_kind": None if each.trigger_kind is None else cleaned(each.trigger_kind),
            "succeeded": each.succeeded,
            "num_rolled_back": len(each.rolled_back),
            "num_injected": each.num_injected,
        }
        for ordinal, each in enumerate(trace.interventions)
    ]


def _highest(values: Iterable[float | None]) -> float | None:
    highest = max(
        (value for value in values if value is not None and math.isfinite(value)), default=None
    )
    return _plain_float(highest)


def _plain_float(value: float | None) -> float | None:
    return None if value is None else float(value)
