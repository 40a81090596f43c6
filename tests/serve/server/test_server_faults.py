"""What goes wrong in operation, on a real process over loopback."""

import asyncio
import json
import signal
from collections.abc import Callable
from pathlib import Path

import httpx
import psutil
import pytest
from server_process import body, leave, wait_for
from server_process import server_process as process

from rerail.guard import Store, Trace

LONG = "repeat 400 On and on it goes."
CUE = "say Fine so far. A wicked thing. More.</think>\n\nDone."


def traces_in(path: Path) -> list[Trace]:
    with Store(path, read_only=True) as store:
        return sorted(store.traces(), key=lambda trace: trace.id)


def test_client_gone(tmp_path: Path) -> None:
    """Of a stream, and of an answer in one piece: generation stops, the trace is kept."""
    path = tmp_path / "traces.db"
    with process(store=str(path), delay_s=0.01) as server:
        url = f"{server.url}/v1/chat/completions"
        with httpx.stream("POST", url, json=body(LONG, stream=True, n=2), timeout=60) as response:
            lines = response.iter_lines()
            while "On and on" not in next(lines):
                pass
            wait_for(lambda: server.metric("rerail_test_open_runs") == 2)
        wait_for(lambda: server.metric("rerail_test_open_runs") == 0)
        num_read = server.metric('rerail_detector_seconds_count{call="score"}')
        leave(
            url,
            body(LONG),
            lambda: server.metric('rerail_detector_seconds_count{call="score"}') > num_read,
        )
        wait_for(lambda: server.metric("rerail_test_open_runs") == 0)
        wait_for(lambda: server.metric("rerail_store_stored") == 3)
        wait_for(lambda: server.metric("rerail_running_generations") == 0)
        assert server.ask().status_code == 200
    traces = traces_in(path)
    assert [trace.finish_reason for trace in traces] == ["cancelled"] * 3 + ["stop"]
    assert {trace.scanned for trace in traces[:3]} == {"part"}
    assert all(0 < len(trace.tokens) < 2000 for trace in traces[:3])


@pytest.mark.parametrize(
    ("policy", "status", "scanned", "valid"),
    [("refuse", 200, "all", None), ("release", 200, "part", None), ("raise", 500, None, None)],
)
def test_detector_raising(
    policy: str, status: int, scanned: str | None, valid: bool | None
) -> None:
    with process(raise_on="Zebra", config={"on_detector_error": policy}) as server:
        text = "say Fine so far. A Zebra here.</think>\n\nThe Zebra answer."
        response = server.ask(text, rerail={"report": True})
        assert response.status_code == status
        if status == 200:
            (entry,) = response.json()["rerail"]["choices"]
            assert (entry["scanned"], entry["valid"]) == (scanned, valid)
            assert entry["detector_failures"] == 1
            assert ("Zebra" in response.text) is (policy == "release")
            assert server.metric('rerail_errors_total{kind="detector"}') == 1
        assert "Zebra" not in json.dumps(server.lines)
        assert server.ask().json()["choices"][0]["message"]["content"] == "The answer is four."


def test_store_out_of_reach(tmp_path: Path) -> None:
    """Traces wait, then requests are refused; when the store is back, nothing has been lost."""
    path = tmp_path / "data" / "traces.db"
    path.parent.mkdir()
    with process(store=str(path), store_buffer=3) as server:
        assert server.ask().status_code == 200
        wait_for(lambda: server.metric("rerail_store_stored") == 1)
        path.parent.rename(tmp_path / "away")
        for _ in range(3):
            assert server.ask().status_code == 200
        refused = server.ask()
        assert refused.status_code == 503 and int(refused.headers["retry-after"]) >= 1
        assert refused.json()["error"]["code"] == "store_unavailable"
        assert httpx.get(f"{server.url}/ready").status_code == 503
        assert httpx.get(f"{server.url}/health").status_code == 200
        (tmp_path / "away").rename(path.parent)
        wait_for(lambda: server.metric("rerail_store_stored") == 4)
        assert server.ask().status_code == 200
        assert server.metric("rerail_store_lost") == 0
    assert len(traces_in(path)) == 5


def test_store_out_of_reach_going_on(tmp_path: Path) -> None:
    path = tmp_path / "data" / "traces.db"
    path.parent.mkdir()
    with process(store=str(path), store_buffer=2, when_unstored="go_on") as server:
        path.parent.rename(tmp_path / "away")
        for _ in range(5):
            assert server.ask(CUE).status_code == 200
        assert server.metric("rerail_store_lost") == 3
        assert server.metric('rerail_scanned_generations_total{scanned="all"}') == 5
        (tmp_path / "away").rename(path.parent)
    assert len(traces_in(path)) == 2


def test_disk_full(tmp_path: Path) -> None:
    path = tmp_path / "traces.db"
    Store(path).close()
    limit = path.stat().st_size + 100_000
    with process(store=str(path), store_buffer=4, max_file_bytes=limit) as server:
        text = LONG.replace("400", "100")
        statuses = [server.ask(text).status_code]
        while statuses[-1] == 200 and len(statuses) < 60:
            statuses.append(server.ask(text).status_code)
        assert statuses[0] == 200 and statuses[-1] == 503
        stored = server.metric("rerail_store_stored")
    assert len(traces_in(path)) == stored, "what was stored is intact"


async def _streams(
    url: str,
    texts: list[str],
    leaves: Callable[[int], bool],
    *,
    began: Callable[[int], object] = lambda number: None,
) -> list[str]:
    """Reads all streams at once, leaving some in the middle; gives what each ended with. `began` is
    called when the server has taken one up."""
    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(base_url=url, limits=limits, timeout=120) as client:

        async def one(number: int, text: str) -> str:
            last, num_lines = "", 0
            async with client.stream(
                "POST", "/v1/chat/completions", json=body(text, stream=True)
            ) as response:
                began(number)
                async for line in response.aiter_lines():
                    last, num_lines = line or last, num_lines + bool(line)
                    if num_lines == 2 and leaves(number):
                        return "left"
            return last

        return list(await asyncio.gather(*(one(*pair) for pair in enumerate(texts))))


def test_sigterm_lets_running_streams_end(tmp_path: Path) -> None:
    path = tmp_path / "traces.db"
    with process(store=str(path), delay_s=0.05) as server:

        async def run() -> list[str]:
            texts = [CUE if number % 2 else "hello" for number in range(30)]
            began: list[int] = []
            asked = asyncio.create_task(
                _streams(server.url, texts, lambda number: False, began=began.append)
            )
            await asyncio.to_thread(wait_for, lambda: len(began) == 30)
            server.popen.send_signal(signal.SIGTERM)
            return await asked

        assert asyncio.run(run()) == ["data: [DONE]"] * 30
        assert server.popen.wait(30) == 0
        with pytest.raises(httpx.ConnectError):
            server.ask()
    traces = traces_in(path)
    assert sorted(trace.action for trace in traces) == ["allow"] * 15 + ["intervene"] * 15
    assert {trace.scanned for trace in traces} == {"all"}


def test_sigterm_ends_what_takes_too_long(tmp_path: Path) -> None:
    path = tmp_path / "traces.db"
    with process(store=str(path), delay_s=0.05, drain_s=0.5) as server:

        async def run() -> list[str]:
            asked = asyncio.create_task(_streams(server.url, [LONG] * 5, lambda number: False))
            await asyncio.to_thread(wait_for, lambda: server.metric("rerail_test_open_runs") >= 5)
            server.popen.send_signal(signal.SIGTERM)
            return await asked

        for last in asyncio.run(run()):
            assert json.loads(last.removeprefix("data: "))["error"]["code"] == "shutting_down"
        assert server.popen.wait(30) == 0
    assert [trace.finish_reason for trace in traces_in(path)] == ["cancelled"] * 5


def test_many_streams_a_third_of_them_left(tmp_path: Path) -> None:
    """No leak of tasks, file handles, engine runs or memory, and not one trace lost."""
    path = tmp_path / "traces.db"
    num, rounds = 500, 2
    with process(store=str(path), delay_s=0.01) as server:
        child = psutil.Process(server.popen.pid)

        def figures() -> tuple[int, int, float]:
            tasks = int(server.metric("rerail_test_tasks"))
            return tasks, child.num_fds(), child.memory_info().rss / 2**20

        def one_round(number: int) -> tuple[int, int, float]:
            texts = [CUE if number % 2 else "hello" for number in range(num)]
            ends = asyncio.run(_streams(server.url, texts, lambda number: number % 3 == 0))
            assert ends.count("left") == -(-num // 3)
            assert ends.count("data: [DONE]") == num - ends.count("left")
            wait_for(lambda: server.metric("rerail_store_stored") == num * number, 120)
            wait_for(lambda: server.metric("rerail_running_generations") == 0)
            wait_for(lambda: server.metric("rerail_test_open_runs") == 0)
            # Connections that were left are put away a little later than their generations.
            wait_for(lambda: figures()[0] <= 20 and figures()[1] <= 50)
            return figures()

        first, last = (one_round(1 + number) for number in range(rounds))
        wait_for(lambda: figures()[0] <= first[0] + 2)  # tasks
        wait_for(lambda: figures()[1] <= first[1] + 5)  # file handles
        assert last[2] <= first[2] * 1.1 + 5, "memory in MiB"
        assert server.metric("rerail_store_lost") == 0
        assert server.metric("rerail_tokens_leaked_total") == 0
    traces = traces_in(path)
    assert len(traces) == num * rounds
    ended = [trace for trace in traces if trace.finish_reason != "cancelled"]
    assert {trace.scanned for trace in ended} == {"all"}
