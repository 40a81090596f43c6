"""Fixtures for tests in several folders, and how tests are shared out among processes.

`pytest -n auto` gives every process whole files, so that what a file's tests share is made once.
The files that start vLLM all go to one process: one engine serves them, and no second one takes
memory beside it. They come first, being the longest chain.
"""

import os
import signal

os.environ.setdefault("HF_HUB_OFFLINE", "1")
if "PYTEST_XDIST_WORKER" in os.environ:  # before anything reads it: a core each
    os.environ["OMP_NUM_THREADS"] = "1"

from typing import Any

import hypothesis
import psutil
import pytest
from one_thread import one_thread as one_thread
from postgres_server import postgres_url as postgres_url
from tiny_encoder import encoder as encoder
from vllm_engine import vllm_running as vllm_running
from vllm_server import vllm_server as vllm_server

# How long an example takes is the machine's affair, and it may have others.
hypothesis.settings.register_profile(
    "rerail", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("rerail")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell's background job ignores interrupts, and so would every process that a test starts.
    signal.signal(signal.SIGINT, signal.default_int_handler)

_GIB_EACH = 3
"""What a process with torch, a model and a server beside it may need."""


def _chain(node_id: str) -> str:
    """The tests that stay together, in order: those of a file, or all that start vLLM."""
    path = node_id.partition("::")[0]
    return "vllm" if "vllm" in path.rpartition("/")[2] else path


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """As many as have cores and memory to themselves."""
    usable = getattr(os, "sched_getaffinity", lambda _: range(os.cpu_count() or 1))
    num_cores = len(usable(0))
    memory_gib = psutil.virtual_memory().total / 2**30
    return max(1, min(num_cores, int(memory_gib / _GIB_EACH)))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    from xdist.scheduler import LoadScopeScheduling

    class ByChain(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return _chain(nodeid)

    config.option.loadscopereorder = False  # by number of tests: many small ones would come first
    return ByChain(config, log)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: (_chain(item.nodeid) != "vllm", "/train/" not in item.nodeid))
