"""The arm that writes its own traces: TRL's GRPO on the pairs' requests, rewarded for safety.

There to be compared with at the same budget: a step more or less is no advantage.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from ..guard.channels import Channel
from ..guard.pairs import Pair
from .completion_reader import CompletionReader
from .generation_transformers import end_ids
from .judges import ExactJudge, Judge, Verdict
from .pairing import is_harmless_pair
from .preference_checkpoints import WholeCheckpoints
from .preference_config import PreferenceConfig
from .preference_models import load_policy, lora_config
from .preference_output import trained_folder
from .preference_result import PreferenceResult
from .preference_run import finish_training, run_training
from .prompts import PromptRecord
from .sandbox.kinds import Kind


def safety_reward(prompt: PromptRecord, verdict: Verdict) -> float:
    """1 for a trace as it should be: on a harmful request neither reasoning nor answer goes along
    (half for one of them), on another one the answer does not refuse. What the judge cannot tell
    gets nothing."""
    if prompt.harmful:
        if verdict.reasoning_harmful is None:
            return 0.0
        return 0.5 * (not verdict.reasoning_harmful) + 0.5 * (not verdict.answer_harmful)
    return float(verdict.refused is False)


@dataclass(frozen=True, slots=True)
class Budget:
    """As many sequences as the preference arms see."""

    num_sequences: int
    """Sides of pairs, over all epochs."""

    per_device: int
    """Completions in a batch of one process: as many as the preference arms' batches hold sides,
    in whole groups."""

    num_steps: int

    @classmethod
    def of(cls, config: PreferenceConfig, num_pairs: int) -> Self:
        """For these pairs."""
        num_sequences = round(2 * num_pairs * config.num_train_epochs)
        sides, group = 2 * config.per_device_train_batch_size, config.grpo_num_generations
        per_device = max(group, sides - sides % group)
        each = per_device * config.gradient_accumulation_steps
        return cls(num_sequences, per_device, config.max_steps or max(1, num_sequences // each))


def train_grpo(
    config: PreferenceConfig,
    pairs: Sequence[Pair],
    folder: Path,
    progress: Callable[[int, int], None] | None = None,
    judge: Judge | None = None,
) -> PreferenceResult:
    """GRPO on the requests of `pairs`; `judge` is the sandbox's exact one by default.

    `train_preference` calls it, where a run that is over is not done again. Raises ValueError for
    pairs without conversations, and `TrainingStopped`.
    """
    prompts = requests_of(pairs)
    if not prompts:
        raise ValueError(
            "no pair holds the conversation that it is from (`messages`), so there is nothing to "
            "answer: make pairs with `rerail train pairs` or `rerail pairs export`"
        )
    model, tokenizer, base = load_policy(config)
    tokenizer.padding_side = "left"
    reader = CompletionReader(tokenizer, end_ids(model, tokenizer))
    budget = Budget.of(config, len(pairs))
    rewards = _rewards(reader, prompts, judge or ExactJudge())
    trainer = _trainer_class()(
        model=model,
        reward_funcs=rewards,
        args=_arguments(config, budget, folder),
        train_dataset=_data_set(reader, prompts),
        processing_class=tokenizer,
        peft_config=lora_config(config),
    )
    ran = run_training(trainer, folder, progress)
    share = ran.num_steps / budget.num_steps
    result = PreferenceResult(
        folder=folder,
        trained=trained_folder(config, folder),
        num_pairs=len(pairs),
        left_out={},
        from_text=0,
        cut=0,
        num_steps=trainer.state.global_step,
        loss=ran.loss,
        seconds=ran.seconds,
        pairs_per_s=share * budget.num_sequences / 2 / max(ran.seconds, 1e-9),
        layout="generated",
    )
    finish_training(trainer, result, config, base)
    return result


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


def _trainer_class() -> Any:
    from trl.trainer.grpo_trainer import GRPOTrainer

    class Trainer(WholeCheckpoints, GRPOTrainer):
        """GRPO as TRL has it."""

    return Trainer


def _arguments(config: PreferenceConfig, budget: Budget, folder: Path) -> Any:
    """Our settings in TRL's words."""
    from trl.trainer.grpo_config import GRPOConfig

    return GRPOConfig(
        output_dir=str(folder),
        beta=config.beta,
        learning_rate=config.learning_rate,
        lr_scheduler_type=config.lr_scheduler_type,
        warmup_steps=config.warmup_steps,
        max_grad_norm=config.max_grad_norm,
        max_steps=budget.num_steps,
        per_device_train_batch_size=budget.per_device,
        gradient_accumulation_steps=config.gradient_accumulation_steps,
        gradient_checkpointing=config.gradient_checkpointing,
        num_generations=config.grpo_num_generations,
        max_completion_length=config.grpo_max_completion_length,
        temperature=1.0,
        bf16=config.bf16,
        use_cpu=config.use_cpu,
        seed=config.seed,
        save_steps=config.save_steps,
        save_total_limit=2,
        logging_steps=config.logging_steps,
        disable_tqdm=True,
        report_to="none",
        dataloader_pin_memory=False,
    )


def _rewards(reader: CompletionReader, prompts: Sequence[PromptRecord], judge: Judge) -> Any:
    """What TRL asks of a batch: the reward of each completion."""
    known = {record.id: record for record in prompts}

    def rewards(prompt_id: list[str], completion_ids: list[list[int]], **_: Any) -> list[float]:
        records = [known[each] for each in prompt_id]
        parts = [_parts(reader, p, ids) for p, ids in zip(records, completion_ids, strict=True)]
        verdicts = judge.judge(records, [part[0] for part in parts], [part[1] for part in parts])
        return [safety_reward(each, said) for each, said in zip(records, verdicts, strict=True)]

    return rewards


def _data_set(reader: CompletionReader, prompts: Sequence[PromptRecord]) -> Any:
    from datasets import Dataset

    rows = [{"prompt": _text(reader, each), "prompt_id": each.id} for each in prompts]
    return Dataset.from_list(rows)


def _text(reader: CompletionReader, prompt: PromptRecord) -> str:
    """The rendered prompt; TRL's tokenizing puts a beginning token in front again if it does so."""
    text, tokenizer = reader.ask(prompt).text, reader.tokenizer
    begins = tokenizer.bos_token
    if begins and tokenizer("a")["input_ids"][:1] == [tokenizer.bos_token_id]:
        return text.removeprefix(begins)
    return text


def _parts(reader: CompletionReader, prompt: PromptRecord, ids: Sequence[int]) -> tuple[str, str]:
    """Reasoning and answer (with tool calls) of a completion."""
    reading = reader.read(reader.ask(prompt), ids)
    reading.end()
    answer = reading.text_of(Channel.ANSWER) + reading.text_of(Channel.TOOL_CALL)
    return reading.text_of(Channel.REASONING).strip(), answer.strip()
