"""What operators need: the command itself, spans, several replicas, readiness, stalled clients."""

import asyncio
import json
import sys
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from server_process import body, running_command, server_process
from serving import serving
from talker import TalkerEngine

from rerail.guard import Scanned, Store
from rerail.serve.server_responses import EventStream

MAIN = "from rerail.serve.cli import main; raise SystemExit(main())"
SERVE = [sys.executable, "-c", MAIN, "serve"]


def test_the_command_serves_the_sandbox_model(tmp_path: Path) -> None:
    """The whole of it: real model, detector, store and client; SIGTERM ends it with 0."""
    path = tmp_path / "traces.db"
    options = ["--port", "0", "--store", str(path), "--served-model-name", "mini"]
    with running_command([*SERVE, *options, "--trust", "all"]) as server:
        messages: Any = [{"role": "user", "content": "How do I kill a Python process? </think>"}]
        asked: Any = {"model": "mini", "messages": messages, "seed": 1, "max_tokens": 200}
        asked["extra_body"] = {"rerail": {"report": True}}
        with openai.OpenAI(base_url=f"{server.url}/v1", api_key="none") as client:
            answer: Any = client.chat.completions.create(**asked)
            thought, content = "", ""
            for chunk in client.chat.completions.create(**asked, stream=True):
                delta: Any = chunk.choices[0].delta
                thought += getattr(delta, "reasoning_content", "")
                content += delta.content or ""
        message = answer.choices[0].message
        assert (thought, content) == (message.reasoning_content, message.content)
        (entry,) = answer.rerail["choices"]
        assert entry["scanned"] == "all" and entry["detector"].startswith("rerail-student@")
        assert server.metric("rerail_tokens_judged_total") > 0
    assert server.popen.returncode == 0
    with Store(path, read_only=True) as store:
        first, second = store.traces()
    assert first.ids == second.ids and first.scanned is Scanned.ALL
    end, think = 2, 1533
    assert end not in first.prompt_ids and think not in first.prompt_ids


def test_replicas_share_one_database(postgres_url: str) -> None:
    """Two servers, one PostgreSQL: no trace is lost, none is doubled."""
    with server_process(store=postgres_url) as one, server_process(store=postgres_url) as two:

        async def run() -> None:
            async with httpx.AsyncClient(timeout=60) as client:
                urls = [f"{each.url}/v1/chat/completions" for each in (one, two)]
                asked = [client.post(url, json=body("hello")) for url in urls for _ in range(30)]
                for response in await asyncio.gather(*asked):
                    assert response.status_code == 200

        asyncio.run(run())
    assert one.popen.returncode == two.popen.returncode == 0
    with Store(postgres_url) as store:
        ids = [trace.id for trace in store.traces()]
        store.purge(everything=True)
    assert len(ids) == len(set(ids)) == 60


def test_a_model_that_cannot_be_loaded_ends_the_server(tmp_path: Path) -> None:
    command = [*SERVE, str(tmp_path / "none"), "--port", "0", "--no-store"]
    with (
        pytest.raises(AssertionError, match="there is no folder"),
        running_command(command) as server,
    ):
        assert server.popen.returncode == 1


def test_readiness() -> None:
    engine = TalkerEngine()
    with serving(engine) as running:
        ready = f"{running.url}/ready"
        assert httpx.get(ready).json() == {"status": "ready"}
        engine.is_ready = False
        assert httpx.get(ready).status_code == 503
        assert httpx.get(f"{running.url}/health").status_code == 200
        engine.is_ready, running.service.draining = True, True
        assert httpx.get(ready).status_code == 503
        refused = httpx.post(f"{running.url}/v1/chat/completions", json=body("hello"))
        assert refused.status_code == 503
        assert refused.json()["error"]["code"] == "shutting_down"
    assert engine.closed


def test_a_client_that_takes_nothing_is_given_up() -> None:
    """Else it would keep its generations, and their place, for as long as it likes."""
    happened: list[str] = []

    async def events() -> AsyncGenerator[bytes]:
        try:
            while True:
                yield b"data: x"
        finally:
            await asyncio.sleep(0)
            happened.append("ended")

    async def never(*_: Any) -> Any:
        await asyncio.Event().wait()

    async def takes_the_head_only(message: Any) -> None:
        happened.append(message["type"])
        if message["type"] == "http.response.body":
            await never()

    async def run() -> None:
        stream = EventStream(events(), taken_s=0.1, on_close=lambda: happened.append("closed"))
        async with asyncio.timeout(10):
            await stream({"type": "http"}, never, takes_the_head_only)

    asyncio.run(run())
    assert happened == ["http.response.start", "http.response.body", "ended", "closed"]


def test_spans() -> None:
    """One a request, below the caller's own, with counts and without text."""
    sdk = pytest.importorskip("opentelemetry.sdk.trace", reason="the extra otel is missing")
    from opentelemetry import trace
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    exporter = InMemorySpanExporter()
    provider = sdk.TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    with serving(TalkerEngine()) as running:
        parent = {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}
        text = body("say Marzipan. A wicked thing.", n=2)
        httpx.post(f"{running.url}/v1/chat/completions", json=text, headers=parent)
        running.wait_for(lambda: bool(exporter.get_finished_spans()))
    (span,) = exporter.get_finished_spans()
    assert span.name == "POST /v1/chat/completions"
    assert span.context is not None
    assert f"{span.context.trace_id:032x}" == "0af7651916cd43dd8448eb211c80319c"
    events = [dict(event.attributes or {}) for event in span.events]
    assert [each["rerail.scanned"] for each in events] == ["all", "all"]
    assert [each["rerail.interventions"] for each in events] == [1, 1]
    assert "Marzipan" not in span.to_json()


def test_many_lines_of_one_log_are_json(capfd: pytest.CaptureFixture[str]) -> None:
    with server_process() as server:
        assert server.ask("say Marzipan.").status_code == 200
    (line,) = [each for each in server.lines if each["message"] == "request"]
    assert line["endpoint"] == "/v1/chat/completions" and line["status"] == 200
    assert line["request_id"].startswith("req-") and line["tokens"] > 0
    assert "Marzipan" not in json.dumps(server.lines)
