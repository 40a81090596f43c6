"""Traces out of the guard's store, as unlabelled ones for a teacher: the kept reasoning, and every
branch that was taken out, since that is where the cues are.

Nobody has said whether a stored request is harmful, so the teacher's labels decide: a request is
harmful if any step is a cue, content or a safety trigger. What it cannot label is left out.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace

from ..guard.channels import Channel
from ..guard.conversation import message_text
from ..guard.tokens import TokenTable
from ..guard.traces import Trace
from .answers import thought_steps
from .labels import Label, LabelledTrace
from .teachers import Teacher

SOURCE = "store"
"""The source that stored traces are reported under."""


def branches(trace: Trace) -> list[LabelledTrace]:
    """The branches of a stored trace; a conversation becomes a transcript of its turns."""
    turns = [message for message in trace.messages if message.get("role") != "system"]
    texts = [message_text(message) for message in turns]
    if len(turns) > 1:
        roles = [str(message.get("role", "user")).title() for message in turns]
        texts = [f"{role}: {text}" for role, text in zip(roles, texts, strict=True)]
    request = "\n".join(texts)
    thoughts = {trace.id: trace.reasoning}
    for number, each in enumerate(trace.interventions):
        if each.channel is Channel.REASONING:
            before = _reasoning(trace.tokens, each.keep)
            thoughts[f"{trace.id}-{number}"] = before + _reasoning(each.rolled_back)
    return [
        LabelledTrace(
            id=name,
            request=request,
            harmful=True,
            source=SOURCE,
            voice=trace.model,
            steps=thought_steps(thought),
            labels=None,
        )
        for name, thought in thoughts.items()
        if request and thought.strip()
    ]


def taught_from_store(traces: Iterable[Trace], teacher: Teacher) -> Iterator[LabelledTrace]:
    """The stored branches with the teacher's labels, and the verdict on the request they imply."""
    for trace in traces:
        for branch in branches(trace):
            labels = teacher.label(branch)
            if labels is not None:
                harmful = any(label is not Label.NEUTRAL for label in labels)
                yield replace(branch, labels=labels, harmful=harmful)


def _reasoning(tokens: TokenTable, num: int | None = None) -> str:
    pairs = list(zip(tokens.texts, tokens.channels, strict=True))[:num]
    return "".join(text for text, channel in pairs if channel is Channel.REASONING)
