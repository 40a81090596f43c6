"""A trace without its words: what may be kept where texts must not be.

No hash of a text is kept either: requests are short, and a guessed one could be looked up.
"""

from dataclasses import replace
from typing import Any

from .tokens import TokenTable
from .traces import Trace


def redacted(trace: Trace) -> Trace:
    """`trace` without any text or token id; lengths, authors, channels, scores, verdicts, triggers,
    identities and numeric sampling settings stay, and so does the topic, which the caller chose.
    """
    return replace(
        trace,
        messages=tuple({"role": _role(message)} for message in trace.messages),
        prompt="",
        prompt_ids=(),
        tokens=_silent(trace.tokens),
        steps=tuple(replace(step, text="") for step in trace.steps),
        interventions=tuple(
            replace(each, cue="", injected="", rolled_back=_silent(each.rolled_back))
            for each in trace.interventions
        ),
        failures=tuple(_kind_of_failure(failure) for failure in trace.failures),
        sampling={
            name: value
            for name, value in trace.sampling.items()
            if value is None or isinstance(value, (bool, int, float))
        },
    )


def _silent(table: TokenTable) -> TokenTable:
    size = len(table)
    authors, channels, scores = list(table.authors), list(table.channels), list(table.scores)
    return TokenTable([None] * size, [""] * size, authors, channels, scores)


def _role(message: Any) -> str:
    role = message.get("role")
    return role if role in ("system", "developer", "user", "assistant", "tool") else "other"


def _kind_of_failure(failure: str) -> str:
    """`TimeoutError: …` becomes `TimeoutError`: what follows may quote the text being read."""
    kind = failure.split(":", 1)[0]
    return kind if kind.isidentifier() else "redacted"
