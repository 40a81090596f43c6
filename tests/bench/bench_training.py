"""Preference training: pairs a second against TRL's DPOTrainer on whole responses as it comes.

The same pairs, adapter, batch and number of steps; one thread, CPU time, so that other work on the
machine does not count. TRL runs once with its own defaults (bfloat16, gradient checkpointing) and
once with ours (float32, without).
"""

import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import torch
from figures import Figure, report

from rerail.guard.pairs import Pair
from rerail.train.library_noise import quiet
from rerail.train.preference_config import PreferenceConfig
from rerail.train.preference_data import rows_of
from rerail.train.preference_models import load_policy, lora_config
from rerail.train.preference_run import StopOnBadGradients
from rerail.train.preference_setup import build_trainer
from rerail.train.sandbox.kinds import Course, Kind, Split
from rerail.train.sandbox.sampling import prompt_ids
from rerail.train.sandbox.world import SandboxTrace, generate_traces

COMMAND = "python tests/bench/bench_training.py"
BATCH, STEPS, WARM_UP = 16, 6, 2


def main() -> None:
    torch.set_num_threads(1)
    config = PreferenceConfig(
        per_device_train_batch_size=BATCH,
        max_steps=STEPS + WARM_UP,
        use_cpu=True,
        save_steps=1000,
        logging_steps=1000,
        precompute_ref_log_probs=False,  # asked each step, as TRL does it
    )
    _, tokenizer, _ = load_policy(config)
    pairs, texts = world_pairs(BATCH * (STEPS + WARM_UP), tokenizer)
    with quiet(), warnings.catch_warnings(), tempfile.TemporaryDirectory() as folder:
        warnings.simplefilter("ignore")
        ours = speed(lambda: our_trainer(config, pairs, Path(folder)))
        as_it_comes = speed(lambda: trl_trainer(config, texts, folder, tuned=False))
        tuned = speed(lambda: trl_trainer(config, texts, folder, tuned=True))
    report(
        [
            Figure(
                "training, pairs/s against TRL's DPOTrainer on whole responses as it comes",
                "at least 1.5 times",
                f"{ours / as_it_comes:.2f} times ({ours:.1f} against {as_it_comes:.1f} pairs/s; "
                f"{ours / tuned:.2f} times TRL in float32 without checkpointing, {tuned:.1f})",
                COMMAND,
            )
        ]
    )


def speed(make: Any) -> float:
    """Pairs a second of CPU time, after the first steps."""
    trainer = make()
    marks: list[float] = []
    original = trainer.training_step

    def step(*given: Any, **named: Any) -> Any:
        marks.append(time.process_time())
        return original(*given, **named)

    trainer.training_step = step
    trainer.train()
    end = time.process_time()
    return BATCH * (len(marks) - WARM_UP) / (end - marks[WARM_UP])


def our_trainer(config: PreferenceConfig, pairs: list[Pair], folder: Path) -> Any:
    model, tokenizer, _ = load_policy(config)
    rows = rows_of(pairs, tokenizer, config)
    trainer = build_trainer(config, model, tokenizer, rows, folder)
    trainer.add_callback(StopOnBadGradients())  # what `run_training` adds to the work of a step
    return trainer


def trl_trainer(
    config: PreferenceConfig, texts: list[dict[str, str]], folder: str, *, tuned: bool
) -> Any:
    from datasets import Dataset
    from trl.trainer.dpo_config import DPOConfig
    from trl.trainer.dpo_trainer import DPOTrainer

    model, tokenizer, _ = load_policy(config)
    own: dict[str, Any] = {"bf16": False, "gradient_checkpointing": False} if tuned else {}
    arguments = DPOConfig(
        output_dir=folder,
        per_device_train_batch_size=BATCH,
        max_steps=STEPS + WARM_UP,
        use_cpu=True,
        save_strategy="no",
        logging_steps=1000,
        disable_tqdm=True,
        report_to="none",
        **own,
    )
    trainer = DPOTrainer(
        model=model,
        args=arguments,
        train_dataset=Dataset.from_list(texts),
        processing_class=tokenizer,
        peft_config=lora_config(config),
    )
    return trainer


def world_pairs(num: int, tokenizer: Any) -> tuple[list[Pair], list[dict[str, str]]]:
    """Going along from the cue on against the safe end of another trace, as an intervention makes
    them; the same as text, with the request alone as the prompt."""
    traces = generate_traces(Split.TRAIN, 12 * num, 5, kind=Kind.HARMFUL)
    safe = [each for each in traces if each.course is Course.SAFE]
    going_along = [each for each in traces if each.course is Course.COMPLY and each.first_cue]
    pairs, texts = [], []
    for number, bad in enumerate(going_along[:num]):
        good = safe[number % len(safe)]
        request = prompt_ids(tokenizer, bad.prompt.messages, bad.prompt.tools)
        cue = bad.first_cue
        assert cue is not None
        start = bad.steps[cue][0]
        parts = [bad.think[:start], _rest(good, good.steps[0][0]), _rest(bad, start)]
        begun, chosen, rejected = (
            tuple(tokenizer(part, add_special_tokens=False)["input_ids"]) for part in parts
        )
        pairs.append(
            Pair(
                id=str(number),
                trace_id=str(number),
                ordinal=0,
                model="world",
                messages=bad.prompt.messages,
                prompt="",
                chosen="",
                rejected="",
                prompt_ids=(*request, *begun),
                chosen_ids=chosen,
                rejected_ids=rejected,
                complete=True,
                trigger_id=None,
                probability=None,
            )
        )
        prompt = tokenizer.decode(request)
        texts.append(
            {"prompt": prompt, "chosen": parts[0] + parts[1], "rejected": parts[0] + parts[2]}
        )
    assert len(pairs) == num
    return pairs, texts


def _rest(trace: SandboxTrace, start: int) -> str:
    return f"{trace.think[start:]}\n</think>\n\n{trace.answer}<|end|>"


if __name__ == "__main__":
    main()
