"""The arm that writes its own traces: TRL's GRPO on the pairs' requests, rewarded for safety.

There to be compared with at the same budget: as many sequences are trained on as the preference
arms see (two sides a pair, each epoch), so a step more or less is no advantage.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ..guard.pairs import Pair
from .completion_reader import CompletionReader
from .generation_transformers import end_ids
from .judges import ExactJudge, Judge, Verdict
from .library_noise import quiet
from .pairing import is_harmless_pair
from .preference import PreferenceResult
from .preference_config import PreferenceConfig
from .preference_models import load_policy, lora_config
from .preference_output import save_trained
from .prompts import PromptRecord
from .run_folder import check_config, read_record, write_record
from .sandbox.kinds import Kind

Reward = Callable[[PromptRecord, Verdict], float]


def safety_reward(prompt: PromptRecord, verdict: Verdict) -> float:
    """1 for a trace as it should be: on a harmful request neither reasoning nor answer goes along
    (half for one of them), on another one the answer does not refuse. What the judge cannot tell
    gets nothing."""
    if prompt.harmful:
        if verdict.reasoning_harmful is None:
            return 0.0
        return 0.5 * (not verdict.reasoning_harmful) + 0.5 * (not verdict.answer_harmful)
    return float(verdict.refused is False)


def train_grpo(
    config: PreferenceConfig,
    pairs: Iterable[Pair],
    folder: Path,
    *,
    judge: Judge | None = None,
    reward: Reward = safety_reward,
) -> PreferenceResult:
    """GRPO on the requests of `pairs`; `judge` is the sandbox's exact one by default.

    Raises ValueError for pairs without conversations, and for a folder of another run.
    """
    folder.mkdir(parents=True, exist_ok=True)
    check_config(folder, config.as_record())
    if (done := read_record(folder / "result.json")) is not None:
        return PreferenceResult(**(done | {"folder": folder, "trained": folder / done["trained"]}))
    pairs = list(pairs)
    prompts = requests_of(pairs)
    if not prompts:
        raise ValueError(
            "no pair holds the conversation that it is from (`messages`), so there is nothing to "
            "answer: make pairs with `rerail train pairs` or `rerail pairs export`"
        )
    with quiet():
        return _train(config, pairs, prompts, folder, judge or ExactJudge(), reward)


def requests_of(pairs: Sequence[Pair]) -> list[PromptRecord]:
    """Each request once."""
    found: dict[str, PromptRecord] = {}
    for pair in pairs:
        if not pair.messages:
            continue
        kind = Kind.HARMLESS if is_harmless_pair(pair) else Kind.HARMFUL
        messages = tuple({str(k): str(v) for k, v in turn.items()} for turn in pair.messages)
        record = PromptRecord(pair.trace_id, messages, kind, pair.topic or "")
        found.setdefault(pair.prompt.partition("<think>")[0] or pair.trace_id, record)
    return list(found.values())


def _train(
    config: PreferenceConfig,
    pairs: Sequence[Pair],
    prompts: Sequence[PromptRecord],
    folder: Path,
    judge: Judge,
    reward: Reward,
) -> PreferenceResult:
    from datasets import Dataset
    from transformers.trainer_callback import PrinterCallback
    from trl.trainer.grpo_config import GRPOConfig
    from trl.trainer.grpo_trainer import GRPOTrainer

    class Trainer(GRPOTrainer):
        def _send_telemetry(self) -> None:
            pass

        def create_model_card(self, *_: Any, **__: Any) -> None:
            pass

    model, tokenizer, base = load_policy(config)
    tokenizer.padding_side = "left"
    reader = CompletionReader(tokenizer, end_ids(model, tokenizer))
    known = {record.id: record for record in prompts}

    def rewards(
        prompt_id: list[str], completion_ids: list[list[int]], **_: Any
    ) -> list[float | None]:
        records = [known[each] for each in prompt_id]
        parts = [_parts(reader, p, ids) for p, ids in zip(records, completion_ids, strict=True)]
        verdicts = judge.judge(records, [part[0] for part in parts], [part[1] for part in parts])
        return [reward(record, verdict) for record, verdict in zip(records, verdicts, strict=True)]

    sequences = round(2 * len(pairs) * config.num_train_epochs)
    # A batch counts completions here: as many as the preference arms' batches hold sides.
    batch = 2 * config.per_device_train_batch_size
    batch = max(config.grpo_num_generations, batch - batch % config.grpo_num_generations)
    steps = max(1, sequences // (batch * config.gradient_accumulation_steps))
    arguments = GRPOConfig(
        output_dir=str(folder),
        beta=config.beta,
        learning_rate=config.learning_rate,
        lr_scheduler_type=config.lr_scheduler_type,
        warmup_steps=config.warmup_steps,
        max_grad_norm=config.max_grad_norm,
        max_steps=config.max_steps or steps,
        per_device_train_batch_size=batch,
        gradient_accumulation_steps=config.gradient_accumulation_steps,
        gradient_checkpointing=config.gradient_checkpointing,
        num_generations=config.grpo_num_generations,
        max_completion_length=config.grpo_max_completion_length,
        temperature=1.0,
        bf16=config.bf16,
        use_cpu=config.use_cpu,
        seed=config.seed,
        save_strategy="no",
        logging_steps=config.logging_steps,
        disable_tqdm=True,
        report_to="none",
        dataloader_pin_memory=False,
    )
    rows = [{"prompt": _text(reader, each), "prompt_id": each.id} for each in prompts]
    trainer = Trainer(
        model=model,
        reward_funcs=rewards,
        args=arguments,
        train_dataset=Dataset.from_list(rows),
        processing_class=tokenizer,
        peft_config=lora_config(config),
    )
    trainer.remove_callback(PrinterCallback)
    start = time.perf_counter()
    outcome = trainer.train()
    seconds = time.perf_counter() - start
    trained = folder / ("adapter" if config.use_peft else "model")
    result = PreferenceResult(
        folder=folder,
        trained=trained,
        num_pairs=len(pairs),
        left_out={},
        from_text=0,
        cut=0,
        num_steps=trainer.state.global_step,
        loss=outcome.training_loss,
        seconds=seconds,
        pairs_per_s=sequences / 2 / max(seconds, 1e-9),
        layout="generated",
    )
    record = asdict(result) | {"folder": None, "trained": trained.name}
    save_trained(
        trainer.accelerator.unwrap_model(trainer.model), tokenizer, trained, config, record, base
    )
    write_record(folder / "result.json", record)
    return result


def _text(reader: CompletionReader, prompt: PromptRecord) -> str:
    """The rendered prompt; TRL's tokenizing puts a beginning token in front again if it does so."""
    text, tokenizer = reader.ask(prompt).text, reader.tokenizer
    begins = tokenizer.bos_token
    if begins and tokenizer("a")["input_ids"][:1] == [tokenizer.bos_token_id]:
        return text.removeprefix(begins)
    return text


def _parts(reader: CompletionReader, prompt: PromptRecord, ids: Sequence[int]) -> tuple[str, str]:
    """Reasoning and answer (with tool calls) of a completion."""
    from ..guard.channels import Channel

    reading = reader.read(reader.ask(prompt), ids)
    reading.end()
    answer = reading.text_of(Channel.ANSWER) + reading.text_of(Channel.TOOL_CALL)
    return reading.text_of(Channel.REASONING).strip(), answer.strip()
