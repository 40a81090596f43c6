"""Engines by the words of the command line."""

import asyncio

import pytest

from rerail.serve.engines import EngineChoice, engine_name, load_engine
from rerail.serve.options import ModelChoice


def test_traces_call_a_model_by_what_it_was_loaded_by() -> None:
    """Not by what a server's requests call it: else the same weights pass for several models, and
    training looks for the traces of another one (with vLLM: test_engine_vllm.py)."""
    choice = EngineChoice(
        model=ModelChoice(model="sandbox"),
        served_names=("talker", "walker"),
        max_model_len=None,
        reasoning_format="auto",
    )
    engine = load_engine("transformers", choice)
    try:
        assert engine.model_names == ("talker", "walker")
        name, _, fingerprint = engine.stored_name.partition("@")
        assert name == "sandbox" and len(fingerprint) == 12
        prompt = asyncio.run(engine.prompts.complete("Hello"))
        assert prompt.model == engine.stored_name
    finally:
        asyncio.run(engine.close())


@pytest.mark.parametrize(
    ("asked", "model", "words"),
    [
        ("tgi", "sandbox", "there is no engine 'tgi'"),
        ("vllm", "http://127.0.0.1:9", "is a server's address"),
        ("upstream", "sandbox", "is no server's address"),
        ("vllm", "http://me:pw@127.0.0.1:9", "has a user or password in it"),
    ],
)
def test_a_model_that_an_engine_cannot_run(asked: str, model: str, words: str) -> None:
    with pytest.raises(ValueError, match=words) as refused:
        engine_name(asked, model)
    assert "pw" not in str(refused.value).replace("password", "")
