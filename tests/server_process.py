"""A server of talkers as a process, started and watched from a test."""

import asyncio
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

TESTS = Path(__file__).parent


@dataclass
class Process:
    """A server process and its log lines."""

    popen: subprocess.Popen[str]
    lines: list[dict[str, Any]] = field(default_factory=list)
    url: str = ""

    def metric(self, name: str) -> float:
        """The sum over all labels."""
        page = httpx.get(f"{self.url}/metrics", timeout=30).text
        found = [line for line in page.splitlines() if line.startswith(name)]
        return sum(float(line.rpartition(" ")[2]) for line in found)

    def ask(self, text: str = "hello", **fields: Any) -> httpx.Response:
        return httpx.post(f"{self.url}/v1/chat/completions", json=body(text, **fields), timeout=60)


def body(text: str, **fields: Any) -> dict[str, Any]:
    return {"model": "talker", "messages": [{"role": "user", "content": text}], **fields}


def wait_for(holds: Callable[[], bool], timeout_s: float = 60.0) -> None:
    end = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < end, "it did not come to that"
        time.sleep(0.05)


def leave(url: str, asked: dict[str, Any], begun: Callable[[], bool]) -> None:
    """Asks, and goes without an answer once the server has `begun`."""

    async def run() -> None:
        async with httpx.AsyncClient(timeout=120) as client:
            asking = asyncio.create_task(client.post(url, json=asked))
            await asyncio.to_thread(wait_for, lambda: asking.done() or begun())
            assert not asking.done(), "it has been answered"
            asking.cancel()
            await asyncio.wait([asking])

    asyncio.run(run())


@contextmanager
def running_command(command: Sequence[str], *, only_ours: bool = True) -> Generator[Process]:
    """A server that logs as ours does; ready at first, and asked to end at last. `only_ours`: what
    stands on its stderr besides is an error."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    popen = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment)
    server = Process(popen)

    def read() -> None:
        assert popen.stderr is not None
        for line in popen.stderr:
            server.lines.append(json.loads(line) if line.startswith("{") else {"raw": line})

    def has_ended_or(message: str) -> bool:
        found = any(line.get("message") == message for line in server.lines)
        return found or popen.poll() is not None

    reader = threading.Thread(target=read)
    reader.start()
    try:
        wait_for(lambda: has_ended_or("ready"), 240)
        wait_for(lambda: has_ended_or("listening"), 240)
        assert popen.poll() is None, server.lines
        server.url = next(line["address"] for line in server.lines if "address" in line)
        yield server
    finally:
        popen.terminate()
        popen.wait(60)
        reader.join()
        assert popen.stderr is not None
        popen.stderr.close()
    raw = [line["raw"] for line in server.lines if "raw" in line]
    assert not (only_ours and raw), raw


@contextmanager
def server_process(**options: Any) -> Generator[Process]:
    """A server of talkers; for the options see talker_process.py."""
    script = str(TESTS / "talker_process.py")
    with running_command([sys.executable, script, json.dumps(options)]) as server:
        yield server
