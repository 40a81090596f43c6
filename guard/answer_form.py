"""Answers in a form that the request prescribes: JSON, a grammar, one of several choices.

Engines hold an answer to its form from its first token on, or from the end of the chain of thought.
A run that goes on after an intervention is a new one to them: in the chain of thought the form is
still to come and nothing is lost, but in the middle of an answer it would begin anew, and a trigger
would not be of that form. So a cue in such an answer is dealt with as one that comes when the
budget of interventions is spent, but never let through, or a request could choose that: the answer
ends with a refusal, or where the settings say so, there.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from .config import GuardConfig, WhenSpent

FORM_SETTINGS = frozenset(
    {
        "ebnf",
        "grammar",
        "guided_choice",
        "guided_grammar",
        "guided_json",
        "guided_regex",
        "json_schema",
        "regex",
        "response_format",
        "structured_outputs",
    }
)
"""Sampling settings that prescribe a form, by the names that engines have for them."""

_PLAIN = {"type": "text"}
"""OpenAI's word for no form at all."""


def keeping_form(config: GuardConfig, sampling: Mapping[str, Any]) -> GuardConfig:
    """The settings for one generation: without interventions in an answer of a prescribed form."""
    given = [sampling[name] for name in FORM_SETTINGS & sampling.keys()]
    if all(each is None or each == _PLAIN for each in given):
        return config
    stop = config.when_spent is WhenSpent.STOP
    return replace(
        config,
        max_answer_interventions=0,
        max_tool_interventions=0,
        when_spent=WhenSpent.STOP if stop else WhenSpent.REFUSE,
    )


def json_form(response_format: Mapping[str, Any]) -> dict[str, Any] | None:
    """OpenAI's `response_format` as vLLM's `structured_outputs`; `None` for plain text.

    Raises ValueError for what is no such format.
    """
    kind = response_format.get("type")
    if kind == "text":
        return None
    if kind == "json_object":
        return {"json_object": True}
    described = response_format.get("json_schema")
    schema = described.get("schema") if isinstance(described, Mapping) else None
    if kind == "json_schema" and isinstance(schema, Mapping):
        return {"json": dict(schema)}
    raise ValueError(
        'response_format: give {"type": "json_object"}, {"type": "text"} or '
        '{"type": "json_schema", "json_schema": {"schema": {...}}}'
    )
