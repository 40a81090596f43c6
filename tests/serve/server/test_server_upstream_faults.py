"""The server in front of an upstream that fails, and of clients that leave."""

import asyncio
import json
from typing import Any

import httpx
import pytest
from fake_upstream import fake_upstream, upstream_process
from server_process import leave
from serving import serving
from upstream_serving import CUE, IMPATIENT, guarded, post

from rerail.guard import FinishReason, Scanned
from rerail.guard.upstream_errors import UpstreamError
from rerail.guard.upstream_settings import UpstreamSettings
from rerail.serve.engine_upstream import new_upstream_engine


def last_event(response: httpx.Response) -> dict[str, Any]:
    lines = [line for line in response.text.splitlines() if line]
    return json.loads(lines[-1].removeprefix("data: "))


@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [
        ("500", 502, "upstream_failed"),
        ("429", 503, "upstream_busy"),
        ("403", 502, "upstream_unauthorized"),
        ("stall head", 504, "upstream_stalled"),
        ("stall", 504, "upstream_stalled"),
        ("cut", 502, "upstream_cut_off"),
        ("garbage", 502, "upstream_malformed"),
        ("error", 502, "upstream_failed"),
    ],
)
def test_faults_are_clean_errors(fault: str, status: int, code: str) -> None:
    """Whole answers and streams end with an error that names its kind, and quotes nothing."""
    settings = IMPATIENT if "stall" in fault else UpstreamSettings(upstream_retries=1)
    with (
        fake_upstream(fault=fault) as upstream,
        guarded(upstream, upstream_settings=settings) as running,
    ):
        whole = post(running)
        assert (whole.status_code, whole.json()["error"]["code"]) == (status, code)
        streamed = post(running, stream=True)
        assert last_event(streamed)["error"]["code"] == code
        assert "SECRET" not in whole.text + streamed.text
        assert upstream.url.removesuffix("/v1") not in whole.text
        page = httpx.get(f"{running.url}/metrics").text
        assert f'rerail_errors_total{{kind="{code}"}} 2.0' in page
        upstream.fault = None
        assert post(running).status_code == 200, "the next one is served"
    assert [trace.finish_reason for trace in running.traces] == [
        FinishReason.ERROR,
        FinishReason.ERROR,
        FinishReason.STOP,
    ]
    assert Scanned.ALL not in {trace.scanned for trace in running.traces[:2]}


def test_what_the_upstream_refuses_is_the_callers_business() -> None:
    with fake_upstream(fault="400") as upstream, guarded(upstream) as running:
        refusal = post(running)
        assert refusal.status_code == 400 and "quoting SECRET" in refusal.text


def test_an_upstream_that_dies_is_noticed() -> None:
    with fake_upstream() as upstream:
        engine = new_upstream_engine(upstream.url, IMPATIENT)
        running = serving(engine)
        server = running.__enter__()
        assert httpx.get(f"{server.url}/ready").status_code == 200
    try:
        assert httpx.get(f"{server.url}/ready").status_code == 503
        assert httpx.get(f"{server.url}/health").status_code == 200
        dead = post(server)
        assert (dead.status_code, dead.json()["error"]["code"]) == (502, "upstream_unreachable")
    finally:
        running.__exit__(None, None, None)


def test_an_upstream_killed_in_the_middle() -> None:
    """A process, and the signal that nobody can handle."""
    with upstream_process(delay_s=0.02) as (process, url):
        engine = new_upstream_engine(url, UpstreamSettings())
        with serving(engine) as running:
            text = "say " + "On and on it goes. " * 100
            body = {"model": "up", "messages": [{"role": "user", "content": text}], "stream": True}
            address = f"{running.url}/v1/chat/completions"
            with httpx.stream("POST", address, json=body, timeout=60) as response:
                lines = [""]
                for line in response.iter_lines():
                    lines += [line] if line else []
                    if "On and on" in line and process.poll() is None:
                        process.kill()
                        process.wait()
            last = json.loads(lines[-1].removeprefix("data: "))
            assert last["error"]["code"] == "upstream_cut_off"
            assert post(running).json()["error"]["code"] == "upstream_unreachable"
            assert [trace.finish_reason for trace in running.traces] == [FinishReason.ERROR]
            assert running.service.limits.num_running == 0


def test_a_client_that_goes_ends_the_generation_at_the_upstream() -> None:
    with fake_upstream(delay_s=0.02) as upstream, guarded(upstream) as running:
        text = "say " + "On and on it goes. " * 100
        body = {"model": "up", "messages": [{"role": "user", "content": text}], "stream": True}
        url = f"{running.url}/v1/chat/completions"
        with httpx.stream("POST", url, json=body, timeout=30) as response:
            lines = response.iter_lines()
            while "On and on" not in next(lines):
                pass
        running.wait_for(lambda: upstream.num_left == 1 and upstream.num_open == 0)
        running.wait_for(lambda: len(running.traces) == 1)
        leave(url, {**body, "stream": False}, lambda: upstream.num_open == 1)
        running.wait_for(lambda: upstream.num_left == 2 and upstream.num_open == 0)
    assert [trace.finish_reason for trace in running.traces] == [FinishReason.CANCELLED] * 2


# anyio drops a connection, for the collector to close, whose task is cancelled as it is made.
@pytest.mark.filterwarnings("ignore:unclosed resource <TCPTransport:ResourceWarning")
def test_many_at_once_a_third_of_them_left() -> None:
    """No stream stays open at the upstream, and no trace is lost."""
    num = 60
    with fake_upstream(delay_s=0.01) as upstream, guarded(upstream) as running:

        async def one(client: httpx.AsyncClient, number: int) -> None:
            text = CUE if number % 2 else "hello"
            asked = {"role": "user", "content": text}
            body = {"model": "up", "messages": [asked], "stream": True}
            async with client.stream("POST", "/v1/chat/completions", json=body) as response:
                line = ""
                async for line in response.aiter_lines():
                    if number % 3 == 0 and "content" in line:
                        return
                assert line == "" or line == "data: [DONE]"

        async def run() -> None:
            limits = httpx.Limits(max_connections=None)
            async with httpx.AsyncClient(base_url=running.url, timeout=60, limits=limits) as client:
                await asyncio.gather(*(one(client, number) for number in range(num)))

        asyncio.run(run())
        running.wait_for(lambda: len(running.traces) == num)
        running.wait_for(lambda: upstream.num_open == 0)
        # A trace is kept before its request has quite been put away.
        running.wait_for(lambda: running.service.limits.num_running == 0)


def test_nobody_is_there_yet() -> None:
    with fake_upstream() as upstream:
        pass
    with pytest.raises(UpstreamError, match="is it running"):
        new_upstream_engine(upstream.url, UpstreamSettings(upstream_wait_s=0.1))
