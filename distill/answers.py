"""Answers, tool calls and reasoning of recorded traces, cut into steps as the guard cuts them."""

from ..guard.channels import Channel
from ..guard.reasoning_format import ReasoningFormat
from ..guard.segmenter import Segmenter


def answer_steps(text: str) -> tuple[tuple[str, ...], Channel]:
    """The steps of an answer, and its channel; of one that calls a tool only the call's arguments.

    A tool call stands between `<tool_call>` tags. Empty for a text without a step.
    """
    segmenter = Segmenter(ReasoningFormat.named("qwen3"), reasoning_open=False)
    steps = [*segmenter.feed(text), *segmenter.flush()]
    calls = tuple(step.text for step in steps if step.channel is Channel.TOOL_CALL)
    if calls:
        return calls, Channel.TOOL_CALL
    said = tuple(step.text for step in steps if step.channel is Channel.ANSWER)
    return said, Channel.ANSWER


def thought_steps(text: str) -> tuple[str, ...]:
    """The steps of a chain of thought."""
    segmenter = Segmenter(ReasoningFormat.named("qwen3"), reasoning_open=True)
    steps = [*segmenter.feed(text), *segmenter.flush()]
    return tuple(step.text for step in steps if step.channel is Channel.REASONING)
