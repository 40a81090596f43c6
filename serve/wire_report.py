"""The answer's extension field `rerail`: what the guard did, for callers who may and did ask.

Built from the finished trace and nothing else, so a generation that no detector has read can never
read as one that has passed: `valid` is null for it, and `scanned` says so.
"""

from collections import Counter
from typing import Any

from ..guard import Scanned, Trace
from ..guard.decision import Verdict
from .records import highest_score
from .wire_deltas import Delta


def choice_report(index: int, trace: Trace) -> dict[str, Any]:
    """One choice. `valid`: wholly read by a detector that never failed, and no cue let through."""
    passed_cue = any(step.verdict is Verdict.AUDIT for step in trace.steps)
    was_read = trace.scanned is Scanned.ALL and not trace.failures
    return {
        "index": index,
        "trace_id": trace.id,
        "valid": not passed_cue if was_read else None,
        "score": highest_score(trace),
        "action": trace.action.value,
        "scanned": trace.scanned.value,
        "detector": trace.detector,
        "policy": trace.policy,
        "steps_judged": len(trace.steps),
        "steps_judged_by_channel": dict(Counter(step.channel.value for step in trace.steps)),
        "interventions": [
            {
                "channel": each.channel.value,
                "step_index": each.step_index,
                "probability": each.probability,
                "trigger": each.trigger_id,
                "injected_tokens": each.num_injected,
                "rolled_back_tokens": len(each.rolled_back),
            }
            for each in trace.interventions
        ],
        "detector_failures": len(trace.failures),
        "sampled_tokens": trace.sampled_tokens,
        "leaked_tokens": trace.leaked_tokens,
        "wait_tokens": trace.wait_tokens,
    }


def report(choices: list[dict[str, Any]]) -> dict[str, Any]:
    """The field: one entry a choice, by `index`; in streams each comes with its choice's end."""
    return {"choices": choices}


def retraction(index: int, delta: Delta) -> dict[str, Any]:
    """How many characters to take off the end of what came so far, before adding the delta."""
    counts = {"reasoning_content": delta.retract_reasoning, "content": delta.retract_content}
    return {"choices": [{"index": index, "retract": counts}]}
