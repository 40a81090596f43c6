"""vLLM in this process, guarded against by itself, on the CPU.

Throughput: the same harmless requests, greedily, every stream as long as the others, both sides in
turns, other requests each time; "by itself" is `AsyncLLM.generate` with text, as a program without
a guard would use it. The shipped student reads everything, with a threshold that it never reaches,
since what is compared has to be the same text. The second model has random weights and a step of
more than 20 ms.

A lone vLLM worker runs in the engine's process, as it does on a GPU, and computes on all cores but
one: that one, where the tokens are read, is what a GPU leaves free and what vLLM reserves by itself
on a CPU when it gives the worker a process of its own. Measured too: that, with the engine's
process polling for its worker, and a lone worker on all cores, which whoever reads the tokens has
to take from it.
"""

import asyncio
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from figures import Figure, report
from vllm_intervention import intervention

from rerail.guard import Action, Guard, GuardConfig, Message, Prompt
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
ONE_PROCESS: dict[str, Any] = {
    "distributed_executor_backend": "vllm.v1.executor.uniproc_executor.UniProcExecutor"
}
NUM_STREAMS = 32
NUM_TOKENS = 512
ROUNDS = 6


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

    def prompts(self, number: int) -> list[Prompt]:
        return [self.running.prompts.of(each, {}, None) for each in conversations(number)]

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
        """Guarded / unguarded throughput: the median over rounds in which both take turns; with
        the processor time that this process, the engine's client, takes for a token."""
        prompts = self.prompts(num_streams * (ROUNDS + 1))
        ratios, rates = [], []
        spent: dict[Any, list[float]] = {self.with_guard: [], self.alone: []}

        def timed(side: Any, asked: Sequence[Prompt]) -> float:
            before = time.process_time()
            took = side(asked, num_tokens)
            spent[side].append(1e6 * (time.process_time() - before) / (len(asked) * num_tokens))
            return took

        for number in range(ROUNDS + 1):
            asked = prompts[number * num_streams :][:num_streams]
            if number % 2:
                guarded, alone = timed(self.with_guard, asked), timed(self.alone, asked)
            else:
                alone, guarded = timed(self.alone, asked), timed(self.with_guard, asked)
            if number:  # the first one warms up
                ratios.append(alone / guarded)
                rates.append(num_streams * num_tokens / alone)
        return (
            f"{statistics.median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f}; "
            f"{statistics.median(rates):,.0f} tokens/s unguarded; processor time of the engine's "
            f"client {statistics.median(spent[self.with_guard]):.0f} and "
            f"{statistics.median(spent[self.alone]):.0f} µs a token)"
        )


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


def measured(
    folder: Path,
    what: str,
    *,
    streams: Sequence[int],
    num_tokens: int,
    asked: str,
    with_intervention: bool = False,
    num_threads: int | None = None,
    **engine_args: Any,
) -> list[Figure]:
    """`num_threads`: of a lone worker; by default vLLM's own setting holds."""
    from rerail.guard import GuardedVllm

    if num_threads is None:
        os.environ.pop("OMP_NUM_THREADS", None)
    else:
        os.environ["OMP_NUM_THREADS"] = str(num_threads)  # read by the engine's process
    guard = silent_guard()
    arguments = ENGINE_ARGS | engine_args
    with GuardedVllm.from_pretrained(folder, guard=guard, **arguments) as model:
        sides = Sides(model.running, model)
        figures = [
            Figure(
                f"guarded / unguarded tokens per second, vLLM in process, {what}, "
                f"{num_streams} streams, guard silent",
                asked if num_streams > 1 else "-",
                sides.ratio(num_streams, num_tokens),
                COMMAND,
            )
            for num_streams in streams
        ]
        if with_intervention:
            resumed, cached = intervention(model.running, sides.prompts(20))
            figures.append(
                Figure(
                    "intervention in vLLM: verdict to first token after the trigger / first token "
                    "of a cached prompt",
                    "at most 3",
                    f"{resumed / cached:.2f} ({resumed:.1f} ms / {cached:.1f} ms)",
                    COMMAND,
                )
            )
    return figures


def main() -> None:
    if find_spec("vllm") is None:
        sys.stderr.write("bench_vllm: left out, since vLLM is not installed here\n")
        return
    small = "the embedded model"
    num_cores = len(os.sched_getaffinity(0))
    all_but_one = max(1, num_cores - 1)
    figures = measured(
        model_folder(),
        small,
        streams=(1, NUM_STREAMS),
        num_tokens=NUM_TOKENS,
        asked="at least 0.90",
        with_intervention=True,
        num_threads=all_but_one,
        **ONE_PROCESS,
    )
    for how, settings in {
        "its worker in a process of its own": {},
        "on all cores, which the guard has to share": ONE_PROCESS | {"num_threads": num_cores},
    }.items():
        figures += measured(
            model_folder(),
            f"{small}, {how}",
            streams=(NUM_STREAMS,),
            num_tokens=NUM_TOKENS,
            asked="at least 0.90",
            **settings,
        )
    with tempfile.TemporaryDirectory() as folder:
        big_model(Path(folder))
        figures += measured(
            Path(folder),
            "52 million parameters, steps of over 20 ms",
            streams=(1, NUM_STREAMS),
            num_tokens=48,
            asked="at least 0.98",
            num_threads=all_but_one,
            **ONE_PROCESS,
        )
    report(figures)


if __name__ == "__main__":
    main()
