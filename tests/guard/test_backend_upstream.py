"""Upstreams in text mode and their faults, over real connections."""

import asyncio
import time
from typing import Any

import pytest
from fake_upstream import OPENING, FakeUpstream, fake_upstream
from fakes import WordDetector
from talker import DEFAULT, SAFE

from rerail.guard import (
    FORMATS,
    Action,
    Finished,
    FinishReason,
    Guard,
    GuardConfig,
    Prompt,
    Trace,
)
from rerail.guard.backend_upstream import AsyncUpstreamBackend, run_seed
from rerail.guard.judge_service import JudgeService
from rerail.guard.loop_async import guarded_async
from rerail.guard.server_address import root_of
from rerail.guard.upstream_client import UpstreamClient
from rerail.guard.upstream_codecs import TextCodec
from rerail.guard.upstream_errors import UpstreamError, UpstreamFault
from rerail.guard.upstream_settings import UpstreamSettings

CUE = "say Fine so far. A wicked thing. More.</think>\n\nDone."


def prompt_of(request: str) -> Prompt:
    message = {"role": "user", "content": request}
    return Prompt(messages=(message,), text=f"<user>{request}{OPENING}", seed=3)


async def generate(client: UpstreamClient, request: str, **sampling: Any) -> Trace:
    backend = AsyncUpstreamBackend(client, "up", TextCodec(), reasoning_format=FORMATS["r1"])
    traces: list[Trace] = []
    detector = WordDetector(at_end=["wicked"])
    guard = Guard(detector, GuardConfig(), record=traces.append)
    with JudgeService(detector) as service:
        options = {"max_new_tokens": 500, "seed": 3, **sampling}
        events = guarded_async(backend, guard, service, prompt_of(request), options)
        try:
            async for event in events:
                if isinstance(event, Finished):
                    return event.trace
        except UpstreamError as error:
            assert [trace.finish_reason for trace in traces] == [FinishReason.ERROR]
            assert traces[0].scanned != "all", "what broke off has not passed"
            raise error
    raise AssertionError


def asked(*upstreams: FakeUpstream, request: str = "hello", **settings: Any) -> Trace:
    key = settings.pop("api_key", None)
    sampling = settings.pop("sampling", {})

    async def run() -> Trace:
        urls = [each.url for each in upstreams]
        client = UpstreamClient(urls, UpstreamSettings(**settings), key)
        try:
            return await generate(client, request, **sampling)
        finally:
            assert client.num_open == 0
            await client.close()

    return asyncio.run(run())


def test_text_is_continued_after_an_intervention() -> None:
    with fake_upstream(delay_s=0.02) as upstream:
        trace = asked(upstream, request=CUE, sampling={"temperature": 0.5})
        first, second = upstream.generations()
    assert trace.action is Action.INTERVENE and trace.finish_reason is FinishReason.STOP
    assert trace.text.startswith("Fine so far. ") and trace.text.endswith(SAFE)
    assert "wicked" not in trace.text and trace.ids == ()
    kept = trace.text.removesuffix(SAFE)
    assert first["prompt"] == prompt_of(CUE).text
    assert second["prompt"] == first["prompt"] + kept, "the very text that the trace says"
    assert (first["seed"], second["seed"]) == (3, run_seed(3, len(kept)))
    assert first["temperature"] == second["temperature"] == 0.5
    assert second["max_tokens"] == 500 - trace.interventions[0].keep - 1
    assert upstream.num_left == 1, "the first stream was closed, not read to its end"


def test_what_a_chunk_holds_changes_nothing() -> None:
    """A busy upstream puts several tokens into a chunk; the same seed still gives the same."""
    continued = []
    for group in (1, 2, 5):
        with fake_upstream(group=group) as upstream:
            asked(upstream, request=CUE)
        _, second = upstream.generations()
        continued.append((second["prompt"], second["seed"]))
    assert len(set(continued)) == 1


def test_a_length_is_kept() -> None:
    with fake_upstream() as upstream:
        trace = asked(upstream, sampling={"max_new_tokens": 4})
    assert trace.finish_reason is FinishReason.LENGTH and len(trace.tokens) == 4


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        ("500", UpstreamFault.FAILED),
        ("503", UpstreamFault.BUSY),
        ("401", UpstreamFault.UNAUTHORIZED),
        ("404", UpstreamFault.REFUSED),
        ("302", UpstreamFault.REFUSED),
        ("refuse", UpstreamFault.CUT_OFF),
        ("no stream", UpstreamFault.MALFORMED),
        ("stall head", UpstreamFault.STALLED),
        ("stall", UpstreamFault.STALLED),
        ("cut", UpstreamFault.CUT_OFF),
        ("no end", UpstreamFault.CUT_OFF),
        ("garbage", UpstreamFault.MALFORMED),
        ("huge", UpstreamFault.MALFORMED),
        ("error", UpstreamFault.FAILED),
        ("abort", UpstreamFault.FAILED),
    ],
)
def test_faults_have_names(fault: str, expected: UpstreamFault) -> None:
    """Each is a sentence; what came before it is recorded as an error and not as passed."""
    with fake_upstream(fault=fault) as upstream:
        with pytest.raises(UpstreamError) as caught:
            impatient: dict[str, Any] = {"upstream_first_s": 0.5, "upstream_stall_s": 0.3}
            asked(upstream, upstream_retries=0, **(impatient if "stall" in fault else {}))
        assert caught.value.fault is expected
        assert "upstream" in str(caught.value) and "\n" not in str(caught.value)
        assert len(upstream.generations()) == 1


@pytest.mark.parametrize("fault", ["500", "503", "refuse"])
def test_what_has_not_begun_is_tried_again(fault: str) -> None:
    with fake_upstream(fault=fault, num_faults=2) as upstream:
        assert asked(upstream).text == DEFAULT
        assert len(upstream.generations()) == 3


@pytest.mark.parametrize("fault", ["cut", "error", "404", "garbage"])
def test_nothing_is_said_twice(fault: str) -> None:
    """A stream that breaks off has released text; asking again would release it once more."""
    with fake_upstream(fault=fault, num_faults=1) as upstream:
        with pytest.raises(UpstreamError):
            asked(upstream)
        assert len(upstream.generations()) == 1


def test_nobody_there() -> None:
    with fake_upstream() as upstream:
        pass
    with pytest.raises(UpstreamError, match="cannot be reached: is it running") as caught:
        asked(upstream, upstream_retries=1)
    assert caught.value.fault is UpstreamFault.UNREACHABLE


def test_keys_are_sent() -> None:
    with fake_upstream(api_key="sesame") as upstream:
        assert asked(upstream, api_key="sesame").text == DEFAULT
        with pytest.raises(UpstreamError, match="RERAIL_UPSTREAM_API_KEY"):
            asked(upstream, api_key="wrong")


def test_a_fleet_takes_turns_and_its_dead_are_left_out() -> None:
    with fake_upstream() as dead:
        pass
    with fake_upstream() as one, fake_upstream() as two:

        async def run() -> list[Trace]:
            client = UpstreamClient([one.url, dead.url, two.url], UpstreamSettings())
            try:
                return [await generate(client, CUE, seed=seed) for seed in range(6)]
            finally:
                await client.close()

        assert {trace.action for trace in asyncio.run(run())} == {Action.INTERVENE}
        for upstream in (one, two):
            bodies = upstream.generations()
            kept = [body for body in bodies if not body["prompt"].endswith(OPENING)]
            assert len(bodies) == 2 * len(kept) >= 4, "a stream goes on where it began"


def test_cancelling_reaches_the_upstream() -> None:
    with fake_upstream(delay_s=0.02) as upstream:

        async def run() -> None:
            client = UpstreamClient([upstream.url], UpstreamSettings())
            task = asyncio.create_task(generate(client, "say " + "On and on it goes. " * 200))
            while not upstream.num_open:
                await asyncio.sleep(0.01)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            assert client.num_open == 0
            await client.close()

        asyncio.run(run())
        end = time.monotonic() + 30
        while upstream.num_open:
            assert time.monotonic() < end, "the upstream still generates"
            time.sleep(0.01)
        assert upstream.num_left == 1


def test_a_slow_reader_holds_the_upstream_up() -> None:
    """Back-pressure: what nobody reads must not pile up here."""
    text = "say " + "word " * 100_000
    with fake_upstream() as upstream:

        async def run() -> int:
            client = UpstreamClient([upstream.url], UpstreamSettings())
            body = {"prompt": f"<user>{text}{OPENING}", "stream": True, "max_tokens": 1 << 20}
            groups = client.records("/v1/completions", body)
            num = len(await anext(groups))
            await asyncio.sleep(0.5)  # the reader does something else
            assert upstream.num_open == 1, "it waits with what it has"
            async for group in groups:
                num += len(group)
            await client.close()
            return num

        assert asyncio.run(run()) > 100_000


def test_generations_follow_each_other_on_one_connection() -> None:
    """A new connection would cost the first token of each several milliseconds."""
    with fake_upstream() as upstream:

        async def run() -> list[Trace]:
            client = UpstreamClient([upstream.url], UpstreamSettings())
            traces = [await generate(client, "hello") for _ in range(4)]
            await client.close()
            return traces

        assert len(asyncio.run(run())) == 4
        assert upstream.num_connections == 1


@pytest.mark.parametrize(
    ("url", "root"),
    [
        ("http://a:1/v1", "http://a:1"),
        ("http://a:1/v1/", "http://a:1"),
        ("https://a/api/v1", "https://a/api"),
        ("http://a", "http://a"),
    ],
)
def test_addresses(url: str, root: str) -> None:
    assert root_of(url) == root


@pytest.mark.parametrize("url", ["a:1", "ftp://a", "http://", "http://a?x=1"])
def test_what_is_no_address(url: str) -> None:
    with pytest.raises(ValueError, match="server's address"):
        UpstreamSettings(upstream_replica=(url,))
