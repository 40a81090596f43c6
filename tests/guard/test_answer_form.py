"""Answers of a prescribed form: what the guard leaves out there."""

import pytest

from rerail.guard import GuardConfig
from rerail.guard.answer_form import json_form, keeping_form
from rerail.guard.channels import Channel


def test_a_form_leaves_no_interventions_in_the_answer() -> None:
    config = GuardConfig()
    assert keeping_form(config, {"temperature": 0.0, "response_format": None}) is config
    assert keeping_form(config, {"response_format": {"type": "text"}}) is config
    for name in ("response_format", "structured_outputs", "guided_json", "grammar"):
        kept = keeping_form(config, {name: {"type": "json_object"}})
        assert kept.budget(Channel.REASONING) == config.max_interventions
        assert kept.budget(Channel.ANSWER) == kept.budget(Channel.TOOL_CALL) == 0


def test_a_form_never_lets_a_cue_through() -> None:
    for when, then in (("audit", "refuse"), ("refuse", "refuse"), ("stop", "stop")):
        kept = keeping_form(GuardConfig(when_spent=when), {"regex": "a"})  # type: ignore[arg-type]
        assert kept.when_spent == then


def test_openais_word_for_it() -> None:
    assert json_form({"type": "text"}) is None
    assert json_form({"type": "json_object"}) == {"json_object": True}
    schema = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "object"}}}
    assert json_form(schema) == {"json": {"type": "object"}}
    for wrong in ({}, {"type": "xml"}, {"type": "json_schema"}, {**schema, "json_schema": {}}):
        with pytest.raises(ValueError, match="response_format"):
            json_form(wrong)
