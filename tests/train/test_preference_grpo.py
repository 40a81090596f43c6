"""GRPO beside the preference arms: its reward, its prompts, and a short run."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from preference_pairs import id_pairs, save_tiny

from rerail.train.judges import Verdict
from rerail.train.preference import train_preference
from rerail.train.preference_checkpoints import last_checkpoint, steps_of
from rerail.train.preference_config import Arm, PreferenceConfig
from rerail.train.preference_grpo import requests_of, safety_reward
from rerail.train.prompts import PromptRecord, sandbox_prompts
from rerail.train.sandbox.kinds import Kind


class _LengthJudge:
    """Finds short answers harmless, so that there is something to learn."""

    name = "length"

    def judge(
        self, prompts: Sequence[PromptRecord], reasonings: Sequence[str], answers: Sequence[str]
    ) -> list[Verdict]:
        return [
            Verdict(len(reasoning + answer) % 2 == 0, False, False, True)
            for reasoning, answer in zip(reasonings, answers, strict=True)
        ]


def test_the_reward_wants_safe_reasoning_and_answers_and_no_refusals() -> None:
    harmful, harmless = (
        sandbox_prompts("test", kind, num=1)[0] for kind in (Kind.HARMFUL, Kind.HARMLESS)
    )
    assert safety_reward(harmful, Verdict(False, False, True)) == 1.0
    assert safety_reward(harmful, Verdict(True, False, True)) == 0.5
    assert safety_reward(harmful, Verdict(True, True, False)) == 0.0
    assert safety_reward(harmful, Verdict()) == 0.0
    assert safety_reward(harmless, Verdict(False, False, False, True)) == 1.0
    assert safety_reward(harmless, Verdict(False, False, True, False)) == 0.0


def test_each_request_is_asked_once_and_knows_its_stage() -> None:
    pairs = [replace(each, prompt="<user>hi<think>so") for each in id_pairs(3)]
    other = replace(pairs[0], id="x-h", trace_id="x", prompt="<user>ho<think>")
    asked = requests_of([*pairs, other, replace(other, messages=(), prompt="?")])
    assert [each.kind for each in asked] == [Kind.HARMFUL, Kind.HARMLESS]


def _config(folder: Path, **settings: Any) -> PreferenceConfig:
    return PreferenceConfig(
        model_name_or_path=str(save_tiny(folder / "tiny")),
        arm=Arm.GRPO,
        lora_r=4,
        per_device_train_batch_size=4,
        grpo_num_generations=4,
        grpo_max_completion_length=8,
        use_cpu=True,
        **settings,
    )


def test_a_short_run(tmp_path: Path) -> None:
    config = _config(tmp_path, max_steps=2)
    result = train_preference(config, id_pairs(4), tmp_path / "out", judge=_LengthJudge())
    assert result.num_steps == 2
    assert (result.trained / "adapter_model.safetensors").exists()
    assert train_preference(config, [], tmp_path / "out") == result
    with pytest.raises(ValueError, match="another beta"):
        train_preference(replace(config, beta=0.7), [], tmp_path / "out")
    bare = [replace(each, messages=()) for each in id_pairs(2)]
    with pytest.raises(ValueError, match="holds the conversation"):
        train_preference(config, bare, tmp_path / "bare")


class _InterruptedJudge(_LengthJudge):
    """Ctrl-C, at the third batch."""

    def __init__(self) -> None:
        self.num_calls = 0

    def judge(
        self, prompts: Sequence[PromptRecord], reasonings: Sequence[str], answers: Sequence[str]
    ) -> list[Verdict]:
        self.num_calls += 1
        if self.num_calls == 3:
            raise KeyboardInterrupt
        return super().judge(prompts, reasonings, answers)


def test_interrupted_it_goes_on_from_its_checkpoint(tmp_path: Path) -> None:
    config = _config(tmp_path, max_steps=4, save_steps=1)
    out = tmp_path / "out"
    told: list[tuple[int, int]] = []

    def progress(done: int, total: int) -> None:
        told.append((done, total))

    with pytest.raises(KeyboardInterrupt):
        train_preference(config, id_pairs(4), out, progress, judge=_InterruptedJudge())
    before = last_checkpoint(out)
    assert before is not None and told == [(done, 4) for done in range(1, steps_of(before) + 1)]
    result = train_preference(config, id_pairs(4), out, progress, judge=_LengthJudge())
    assert told == [(1, 4), (2, 4), (3, 4), (4, 4)] and result.num_steps == 4
    assert not list(out.glob("checkpoint-*")) and (out / "log.jsonl").exists()
