"""vLLM in this process, guarded against by itself, on the CPU.

Throughput: the same harmless requests, greedily, every stream as long as the others, both sides in
turns; "by itself" is `AsyncLLM.generate` with text, as a program without a guard would use it. The
shipped student reads everything, with a threshold that it never reaches, since what is compared has
to be the same text. The second model has random weights and a step of more than 20 ms.

Intervention: from the moment at which the detector has given its verdict to the first token after
the trigger, against the time to the first token of a prompt that the engine has cached.
"""

import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from figures import Figure, report

from rerail.guard import Action, Channel, Guard, GuardConfig, Message, Prompt, Thresholds
from rerail.guard.detector import Probabilities
from rerail.guard.detector_student import StudentDetector
from rerail.train.sandbox.kinds import Kind
from rerail.train.sandbox.shipped import model_folder
from rerail.train.sandbox.world import prompts

COMMAND = "python tests/bench/bench_vllm.py"
ENGINE_ARGS: dict[str, Any] = {
    "dtype": "float32",
    "enforce_eager": True,
    "kv_cache_memory_bytes": 1 << 29,
    "block_size": 32,
    "max_num_seqs": 64,
}
NUM_STREAMS = 32
ROUNDS = 5


def silent_guard() -> Guard:
    """The shipped student at its usual work, but never sure enough to act."""
    config = GuardConfig(threshold=1.0, threshold_inside=1.0)
    return Guard(StudentDetector.from_folder(), config)


def conversations(number: int) -> list[list[Message]]:
    found = prompts("test", Kind.HARMLESS, num=number, seed=3)
    return [list(each.messages) for each in found]


@dataclass(frozen=True, slots=True)
class Sides:
    """One engine, with and without the guard."""

    running: Any
    guarded: Any

    def with_guard(self, asked: Sequence[Prompt], num_tokens: int) -> float:
        sampling = {"temperature": 0.0, "max_new_tokens": num_tokens, "ignore_eos": True}
        started = time.perf_counter()
        results = self.guarded.generate(asked, sampling, progress=False)
        took = time.perf_counter() - started
        assert all(result.trace.action is Action.ALLOW for result in results), "not silent"
        assert all(len(result.trace.tokens) == num_tokens for result in results)
        return took

    def alone(self, asked: Sequence[Prompt], num_tokens: int) -> float:
        from vllm import SamplingParams, TokensPrompt
        from vllm.sampling_params import RequestOutputKind

        params = SamplingParams(
            temperature=0.0,
            max_tokens=num_tokens,
            ignore_eos=True,
            output_kind=RequestOutputKind.DELTA,
        )

        async def one(number: int, prompt: Prompt) -> int:
            tokens = TokensPrompt(prompt_token_ids=list(prompt.ids))
            name, text, count = f"alone-{time.monotonic_ns()}-{number}", "", 0
            async for output in self.running.engine.generate(tokens, params, name):
                text += output.outputs[0].text
                count += len(output.outputs[0].token_ids)
            return count

        async def together() -> list[int]:
            return await asyncio.gather(*(one(*each) for each in enumerate(asked)))

        started = time.perf_counter()
        counts = self.running.thread.run(together())
        assert set(counts) == {num_tokens}
        return time.perf_counter() - started

    def ratio(self, num_streams: int, num_tokens: int) -> str:
        """Guarded / unguarded throughput: the median over rounds in which both take turns."""
        asked = [self.running.prompts.of(each, {}, None) for each in conversations(num_streams)]
        ratios, rates = [], []
        for number in range(ROUNDS + 1):
            guarded, alone = self.with_guard(asked, num_tokens), self.alone(asked, num_tokens)
            if number:  # the first one warms up
                ratios.append(alone / guarded)
                rates.append(num_streams * num_tokens / alone)
        return (
            f"{statistics.median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f}; "
            f"{statistics.median(rates):,.0f} tokens/s unguarded)"
        )


class FiringDetector:
    """Finds the third step of every stream to be a cue, and notes when."""

    identity = "firing@bench"
    thresholds = Thresholds.uniform(1.0, 0.5)

    def __init__(self) -> None:
        self.decided = 0.0

    def start(self, messages: Sequence[Message]) -> int:
        return 0

    def score(
        self, states: Sequence[int], texts: Sequence[str], channels: Sequence[Channel]
    ) -> tuple[list[int], Probabilities]:
        import numpy as np

        return list(states), np.zeros(len(states), dtype=np.float32)

    def end_step(
        self, states: Sequence[int], steps: Sequence[str]
    ) -> tuple[list[int], Probabilities]:
        import numpy as np

        fires = [state == 2 for state in states]
        if any(fires):
            self.decided = time.perf_counter()
        return [state + 1 for state in states], np.array(fires, dtype=np.float32)


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


def intervention(running: Any) -> tuple[float, float]:
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
        stream = backend.stream(prompt, _no_tokens(), sampling)
        await anext(stream)
        cached.append(1000 * (backend.first - started))
        await stream.close()

    for each in conversations(20):
        running.thread.run(measure(running.prompts.of(each, {}, None)))
    return statistics.median(resumed), statistics.median(cached)


def _no_tokens() -> Any:
    from rerail.guard import TokenTable

    return TokenTable()


def big_model(folder: Path) -> None:
    """A Qwen3 of 52 million parameters with random weights and the sandbox's tokenizer."""
    import shutil

    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        if (model_folder() / name).is_file():
            shutil.copy(model_folder() / name, folder / name)
    config = AutoConfig.from_pretrained(model_folder())
    for name, value in {
        "hidden_size": 768,
        "intermediate_size": 2048,
        "num_hidden_layers": 8,
        "num_attention_heads": 12,
        "num_key_value_heads": 4,
        "head_dim": 64,
        "layer_types": ["full_attention"] * 8,
    }.items():
        setattr(config, name, value)
    torch.manual_seed(1)
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)


def measured(folder: Path, figures: list[Figure], *, small: bool) -> None:
    from rerail.guard import GuardedVllm

    what = "the embedded model" if small else "52 million parameters, steps of over 20 ms"
    with GuardedVllm.from_pretrained(folder, guard=silent_guard(), **ENGINE_ARGS) as model:
        sides = Sides(model.running, model)
        for num_streams in (1, NUM_STREAMS):
            asked = ("at least 0.90" if small else "at least 0.98") if num_streams > 1 else "-"
            figures.append(
                Figure(
                    f"guarded / unguarded tokens per second, vLLM in process, {what}, "
                    f"{num_streams} streams, guard silent",
                    asked,
                    sides.ratio(num_streams, 256 if small else 48),
                    COMMAND,
                )
            )
        if small:
            resumed, cached = intervention(model.running)
            figures.append(
                Figure(
                    "intervention in vLLM: verdict to first token after the trigger / first token "
                    "of a cached prompt",
                    "at most 3",
                    f"{resumed / cached:.2f} ({resumed:.1f} ms / {cached:.1f} ms)",
                    COMMAND,
                )
            )


def main() -> None:
    try:
        import vllm  # noqa: F401
    except ImportError:
        sys.stderr.write("bench_vllm: left out, since vLLM is not installed here\n")
        return
    figures: list[Figure] = []
    measured(model_folder(), figures, small=True)
    with tempfile.TemporaryDirectory() as folder:
        big_model(Path(folder))
        measured(Path(folder), figures, small=False)
    report(figures)


if __name__ == "__main__":
    main()
