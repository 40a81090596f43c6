"""An intervention in vLLM: from the moment at which the detector has given its verdict to the first
token after the trigger, against the time to the first token of a prompt that the engine has cached.
"""

import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rerail.guard import Guard, GuardConfig, Prompt, TokenTable
from rerail.guard.detector import Probabilities

sys.path.insert(0, str(Path(__file__).parents[1]))
from fakes import ThirdStep


class FiringDetector(ThirdStep):
    """Notes when it has given its verdict."""

    decided = 0.0

    def end_step(
        self, states: Sequence[int], steps: Sequence[str]
    ) -> tuple[list[int], Probabilities]:
        after, found = super().end_step(states, steps)
        if found.any():
            self.decided = time.perf_counter()
        return after, found


class NotingBackend:
    """Notes when the first token of the last run came."""

    def __init__(self, backend: Any) -> None:
        self._backend = backend
        self.reasoning_format = backend.reasoning_format
        self.encode = backend.encode
        self.first = 0.0

    def stream(self, prompt: Prompt, kept: Any, sampling: Any) -> Any:
        return _Noting(self, self._backend.stream(prompt, kept, sampling))


class _Noting:
    runs_ahead = True

    def __init__(self, backend: NotingBackend, stream: Any) -> None:
        self._backend, self._stream, self._begun = backend, stream, False

    @property
    def finish_reason(self) -> Any:
        return self._stream.finish_reason

    def __aiter__(self) -> "_Noting":
        return self

    async def __anext__(self) -> Any:
        tokens = await anext(self._stream)
        if not self._begun:
            self._begun, self._backend.first = True, time.perf_counter()
        return tokens

    async def close(self) -> None:
        await self._stream.close()


def intervention(running: Any, asked: Sequence[Prompt]) -> tuple[float, float]:
    """Median ms from verdict to first token after the trigger, and to that of a cached prompt."""
    from rerail.guard.backend_vllm import VllmBackend
    from rerail.guard.judge_service import JudgeService
    from rerail.guard.loop_async import guarded_async

    detector = FiringDetector()
    guard = Guard(detector, GuardConfig(max_interventions=1, when_spent="audit"))  # type: ignore[arg-type]
    inner = VllmBackend(running.engine, running.tokenizer)
    resumed, cached = [], []

    async def measure(prompt: Prompt) -> None:
        backend = NotingBackend(inner)
        sampling = {"temperature": 0.0, "max_new_tokens": 300}
        with JudgeService(detector) as service:
            async for _ in guarded_async(backend, guard, service, prompt, sampling):
                pass
        resumed.append(1000 * (backend.first - detector.decided))
        started = time.perf_counter()  # the same prompt again: the engine has it
        backend = NotingBackend(inner)
        stream = backend.stream(prompt, TokenTable(), sampling)
        await anext(stream)
        cached.append(1000 * (backend.first - started))
        await stream.close()

    for each in asked:
        running.thread.run(measure(each))
    return statistics.median(resumed), statistics.median(cached)
