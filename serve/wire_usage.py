"""Token counts as the OpenAI API gives them, over all choices."""

from collections.abc import Iterable, Sequence
from typing import Any

from ..guard import Channel, Prompt, Trace


def usage_of(prompts: Sequence[Prompt], traces: Iterable[Trace]) -> dict[str, Any]:
    """Completion tokens are those that the model continued from: kept and injected ones. What was
    rolled back is in the report."""
    traces = list(traces)
    prompt_tokens = sum(prompt.num_tokens for prompt in prompts)
    kept = sum(len(trace.tokens) for trace in traces)
    thought = sum(trace.tokens.channels.count(Channel.REASONING) for trace in traces)
    return {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": kept,
        "total_tokens": prompt_tokens + kept,
        "completion_tokens_details": {"reasoning_tokens": thought},
    }
