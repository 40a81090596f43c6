"""Guarded against unguarded generation: tokens a second, Hugging Face backend, embedded model.

Both sides answer the same harmless requests greedily, in turns, on one thread. CPU time counts, so
that other work on the machine does not; the guard stays silent, so both give the same ids.
"""

import statistics
import time
from typing import Any

import torch
from figures import Figure, report

from rerail.guard import Action, GuardedModel
from rerail.train.sandbox.kinds import Kind
from rerail.train.sandbox.shipped import model_folder
from rerail.train.sandbox.world import prompts

COMMAND = "python tests/bench/bench_generation.py"
NUM_REQUESTS = 24
ROUNDS = 3


def timed(generate: Any, inputs: Any) -> tuple[float, torch.Tensor]:
    started = time.process_time()
    ids = generate(**inputs, do_sample=False, max_new_tokens=400)
    return time.process_time() - started, ids


def main() -> None:
    torch.set_num_threads(1)
    guarded = GuardedModel.from_pretrained(model_folder())
    tokenizer, model = guarded.tokenizer, guarded.model
    ratios: list[float] = []
    num_tokens, spent = 0, {"guarded": 0.0, "alone": 0.0}
    for prompt in prompts("test", Kind.HARMLESS, num=NUM_REQUESTS, seed=3):
        inputs = tokenizer.apply_chat_template(
            list(prompt.messages),
            add_generation_prompt=True,
            return_tensors="pt",
            return_dict=True,
        )
        for number in range(ROUNDS + 1):
            with_guard, ids = timed(guarded.generate, inputs)
            silent = guarded.last_traces[0].action is Action.ALLOW
            alone, same = timed(model.generate, inputs)
            if not silent:
                break
            assert torch.equal(ids, same), "a silent guard has changed the ids"
            if number:  # the first one warms up
                ratios.append(alone / with_guard)
                spent["guarded"] += with_guard
                spent["alone"] += alone
                num_tokens += ids.shape[1] - inputs["input_ids"].shape[1]
    rate = {side: num_tokens / seconds for side, seconds in spent.items()}
    report(
        [
            Figure(
                "guarded / unguarded tokens per second, Hugging Face backend, guard silent",
                "at least 0.95",
                f"{statistics.median(ratios):.3f} ({rate['guarded']:.0f} of {rate['alone']:.0f} "
                f"tokens/s, {len(ratios)} pairs)",
                COMMAND,
            )
        ]
    )


if __name__ == "__main__":
    main()
