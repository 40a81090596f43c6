"""Traces as plain JSON records, for programs that read what the commands print."""

from dataclasses import asdict
from typing import Any

from ..guard import Channel, Scanned, TokenTable, Trace
from ..guard.decision import Verdict
from ..guard.store_query import TraceSummary


def result_record(trace: Trace, *, stored: bool) -> dict[str, Any]:
    """What `rerail run --json` prints: the result in the field's usual terms, then the texts."""
    passed_cue = any(step.verdict is Verdict.AUDIT for step in trace.steps)
    return {
        "valid": trace.scanned is Scanned.ALL and not passed_cue and not trace.failures,
        "score": highest_score(trace),
        "action": trace.action.value,
        "usage": usage(trace),
        "finish_reason": trace.finish_reason.value,
        "scanned": trace.scanned.value,
        "interventions": len([each for each in trace.interventions if each.trigger_id]),
        "reasoning": trace.reasoning,
        "answer": trace.answer,
        "tool_calls": trace.text_of(Channel.TOOL_CALL),
        "failures": list(trace.failures),
        "trace_id": trace.id if stored else None,
    }


def usage(trace: Trace) -> dict[str, int]:
    """Tokens by what became of them; the first three as the OpenAI API counts."""
    prompt, kept = len(trace.prompt_ids), len(trace.tokens)
    return {
        "prompt_tokens": prompt,
        "completion_tokens": kept,
        "total_tokens": prompt + kept,
        "sampled_tokens": trace.sampled_tokens,
        "injected_tokens": sum(each.num_injected for each in trace.interventions),
        "rolled_back_tokens": trace.num_rolled_back,
        "leaked_tokens": trace.leaked_tokens,
        "wait_tokens": trace.wait_tokens,
    }


def highest_score(trace: Trace) -> float | None:
    """The highest probability of any step, those taken out included; `None` if none was scored."""
    scores = [step.probability for step in trace.steps if step.probability is not None]
    return max(scores, default=None)


def trace_record(trace: Trace) -> dict[str, Any]:
    """A whole trace; tokens as columns of equal length."""
    return {
        "id": trace.id,
        "created_at": trace.created_at.isoformat(),
        "duration_s": trace.duration_s,
        "model": trace.model,
        "detector": trace.detector,
        "policy": trace.policy,
        "hold": trace.hold,
        "thresholds": {name: list(pair) for name, pair in trace.thresholds.items()},
        "sampling": dict(trace.sampling),
        "seed": trace.seed,
        "topic": trace.topic,
        "messages": [dict(message) for message in trace.messages],
        "prompt": trace.prompt,
        "prompt_ids": list(trace.prompt_ids),
        "tokens": _columns(trace.tokens),
        "steps": [asdict(step) for step in trace.steps],
        "interventions": [
            {
                "keep": each.keep,
                "channel": each.channel.value,
                "step_index": each.step_index,
                "cue": each.cue,
                "probability": each.probability,
                "trigger_id": each.trigger_id,
                "trigger_kind": each.trigger_kind,
                "injected": each.injected,
                "num_injected": each.num_injected,
                "succeeded": each.succeeded,
                "rolled_back": _columns(each.rolled_back),
            }
            for each in trace.interventions
        ],
        "failures": list(trace.failures),
        "action": trace.action.value,
        "finish_reason": trace.finish_reason.value,
        "scanned": trace.scanned.value,
        "reasoning": trace.reasoning,
        "answer": trace.answer,
        "usage": usage(trace),
    }


def summary_record(summary: TraceSummary) -> dict[str, Any]:
    """A line of `rerail trace list --json`."""
    record = asdict(summary)
    record["created_at"] = summary.created_at.isoformat()
    return record


def _columns(table: TokenTable) -> dict[str, Any]:
    return {
        "ids": table.ids,
        "texts": table.texts,
        "authors": [author.value for author in table.authors],
        "channels": [None if channel is None else channel.value for channel in table.channels],
        "scores": table.scores,
    }
