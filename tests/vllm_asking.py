"""Asking the tests' vLLM engine, with a guard and without."""

from collections.abc import Sequence
from typing import Any

from fakes import WordDetector

from rerail.guard import Guard, Trace
from rerail.train.sandbox.kinds import Kind
from rerail.train.sandbox.world import prompts

CALM = [list(each.messages) for each in prompts("test", Kind.HARMLESS, num=4, seed=3)]
NEVER = Guard(WordDetector())


def guarded(running: Any, guard: Guard) -> Any:
    from rerail.guard import GuardedVllm

    return GuardedVllm(running, guard=guard)


def raw(running: Any, ids: Sequence[int], **sampling: Any) -> list[int]:
    """What the engine by itself makes of `ids`, without any cache of them."""
    from vllm import SamplingParams, TokensPrompt

    params = SamplingParams(**{"max_tokens": 1024 - len(ids), "top_p": 1.0, **sampling})
    engine = running.engine

    async def run() -> list[int]:
        await engine.reset_prefix_cache()
        last: Any = None
        async for output in engine.generate(TokensPrompt(prompt_token_ids=list(ids)), params, "x"):
            last = output
        return list(last.outputs[0].token_ids)

    return running.thread.run(run())


def firing_on(trace: Trace, number: int = 2) -> WordDetector:
    """A detector that finds step `number` of that trace to be a cue."""
    return WordDetector(at_end=[trace.steps[number].text])
