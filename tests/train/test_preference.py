"""Training runs: the result, resuming, the reference of later rounds, and what is refused."""

import json
import math
import os
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from preference_pairs import id_pairs, pair, save_tiny
from safetensors.torch import load_file
from tiny_models import tiny_model, tiny_tokenizer
from transformers import AutoModelForCausalLM, AutoTokenizer
from two_processes import LAUNCH

from rerail.guard.backend_transformers_identity import model_identity
from rerail.train.preference import train_preference
from rerail.train.preference_checkpoints import TrainingStopped, last_checkpoint
from rerail.train.preference_config import PreferenceConfig
from rerail.train.preference_data import rows_of
from rerail.train.preference_models import load_policy, with_adapter
from rerail.train.preference_output import save_merged
from rerail.train.preference_setup import build_trainer


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> PreferenceConfig:
    return PreferenceConfig(
        model_name_or_path=str(save_tiny(tmp_path_factory.mktemp("tiny"))),
        use_cpu=True,
        lora_r=4,
        learning_rate=5e-3,
        num_train_epochs=2,
        per_device_train_batch_size=4,
        save_steps=2,
        logging_steps=1,
        warmup_steps=0,
    )


@pytest.fixture(scope="module")
def run(config: PreferenceConfig, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """An uninterrupted run over 12 pairs: 6 steps."""
    return train_preference(config, id_pairs(12), tmp_path_factory.mktemp("run"))


def _weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "adapter_model.safetensors")


def _same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_training_prefers_the_chosen_sides_and_says_what_it_did(
    config: PreferenceConfig, run: Any
) -> None:
    assert (run.num_pairs, run.num_steps, run.layout) == (12, 6, "shared")
    lines = [json.loads(line) for line in (run.folder / "log.jsonl").read_text().splitlines()]
    margins = [line["rewards/margins"] for line in lines if "rewards/margins" in line]
    assert margins[0] == 0.0 and margins[-1] > 0.05  # the policy begins as its reference
    assert not list(run.folder.glob("checkpoint-*"))
    again = train_preference(config, [], run.folder)  # done is done
    assert again == run


def test_a_run_that_was_stopped_ends_in_the_same_weights(
    config: PreferenceConfig, run: Any, tmp_path: Path
) -> None:
    class Stop(Exception):
        pass

    def stop_at_five(done: int, _: int) -> None:
        if done == 5:
            raise Stop

    with pytest.raises(Stop):
        train_preference(config, id_pairs(12), tmp_path, stop_at_five)
    assert last_checkpoint(tmp_path) == tmp_path / "checkpoint-4"
    half = tmp_path / "checkpoint-6"  # a kill in the middle of a save leaves this
    half.mkdir()
    (half / "adapter_model.safetensors").write_bytes(b"half")
    steps: list[int] = []
    train_preference(config, id_pairs(12), tmp_path, lambda done, _: steps.append(done))
    assert steps == [5, 6]
    assert _same(_weights(tmp_path / "adapter"), _weights(run.trained))


def test_other_settings_do_not_continue_a_run(config: PreferenceConfig, run: Any) -> None:
    with pytest.raises(ValueError, match="another beta"):
        train_preference(replace(config, beta=0.5), id_pairs(12), run.folder)


@pytest.mark.parametrize("promotion", ["merged", "stacked"])
def test_the_second_round_s_reference_is_the_promoted_model(
    config: PreferenceConfig, run: Any, tmp_path: Path, promotion: str
) -> None:
    """TRL would take the bare base for an adapter that it does not know as the reference."""
    base = config.model_name_or_path
    if promotion == "merged":
        save_merged(base, run.trained, tmp_path / "m", config=config, record={})
        second = replace(config, model_name_or_path=str(tmp_path / "m"))
    else:
        second = replace(config, adapter_name_or_path=str(run.trained))
    model, tokenizer, _ = load_policy(second)
    rows = rows_of(id_pairs(4), tokenizer, second)
    trainer = build_trainer(second, model, tokenizer, rows, tmp_path / "out")
    row = trainer.train_dataset[0]
    promoted = with_adapter(AutoModelForCausalLM.from_pretrained(base), run.trained).eval()

    def logp(model: Any) -> float:
        ids = torch.tensor([row["prompt_ids"] + row["chosen_ids"]])
        with torch.no_grad():
            logits = model(input_ids=ids).logits[0, :-1].log_softmax(-1)
        start = len(row["prompt_ids"]) - 1
        return logits[range(start, len(logits)), ids[0, start + 1 :]].sum().item()

    assert row["ref_chosen_logps"] == pytest.approx(logp(promoted), abs=1e-3)
    assert abs(row["ref_chosen_logps"] - logp(tiny_model("qwen3"))) > 0.05
    with torch.no_grad():  # training must not move it
        for parameter in trainer.model.parameters():
            if parameter.requires_grad:
                parameter.add_(0.1)
    batch = trainer.data_collator([row])
    moved, _ = trainer.compute_ref_log_probs(trainer.model, batch)
    assert moved.item() == pytest.approx(row["ref_chosen_logps"], abs=1e-3)


def test_going_on_with_an_adapter_can_be_resumed_too(
    config: PreferenceConfig, run: Any, tmp_path: Path
) -> None:
    second = replace(config, adapter_name_or_path=str(run.trained), num_train_epochs=1)
    whole = train_preference(second, id_pairs(12, seed=2), tmp_path / "whole")

    def stop_at_three(done: int, _: int) -> None:
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_preference(second, id_pairs(12, seed=2), tmp_path / "cut", stop_at_three)
    cut = train_preference(second, id_pairs(12, seed=2), tmp_path / "cut")
    assert _same(_weights(cut.trained), _weights(whole.trained))
    assert not _same(_weights(whole.trained), _weights(run.trained))


def test_what_comes_out_loads_anywhere(config: PreferenceConfig, run: Any, tmp_path: Path) -> None:
    base = AutoModelForCausalLM.from_pretrained(config.model_name_or_path)
    adapted = with_adapter(base, run.trained).eval()
    save_merged(config.model_name_or_path, run.trained, tmp_path / "m", config=config, record={})
    merged = AutoModelForCausalLM.from_pretrained(tmp_path / "m").eval()
    ids = torch.tensor([[5, 6, 7, 8]])
    with torch.no_grad():
        assert torch.allclose(merged(ids).logits, adapted(ids).logits, atol=1e-4)
        assert not torch.allclose(merged(ids).logits, tiny_model("qwen3")(ids).logits, atol=1e-2)
    for folder in (run.trained, tmp_path / "m"):
        names = {each.name for each in folder.iterdir()}
        assert {"tokenizer.json", "generation_config.json", "README.md"} <= names
        assert AutoTokenizer.from_pretrained(folder).chat_template == tiny_tokenizer().chat_template
        assert "beta | 0.1" in (folder / "README.md").read_text()
    assert "12 preference pairs" in (run.trained / "README.md").read_text()


def test_all_weights_can_be_trained(config: PreferenceConfig, tmp_path: Path) -> None:
    full = replace(config, use_peft=False, learning_rate=1e-4, num_train_epochs=1)
    result = train_preference(full, id_pairs(4), tmp_path)
    trained = AutoModelForCausalLM.from_pretrained(result.trained)
    assert model_identity(trained) != model_identity(tiny_model("qwen3"))
    assert not (result.trained / "adapter_config.json").exists()


def test_bfloat16(config: PreferenceConfig, tmp_path: Path) -> None:
    half = replace(config, dtype="bfloat16", num_train_epochs=1, layout=None)
    result = train_preference(half, id_pairs(4), tmp_path)
    assert math.isfinite(result.loss)


def test_a_loss_that_is_no_number_stops_and_keeps_the_last_good_state(
    config: PreferenceConfig, tmp_path: Path
) -> None:
    broken = save_tiny(tmp_path / "broken")
    model = AutoModelForCausalLM.from_pretrained(broken)
    with torch.no_grad():
        model.model.norm.weight.fill_(float("nan"))
    model.save_pretrained(broken)
    bad = replace(config, model_name_or_path=str(broken))
    with pytest.raises(TrainingStopped, match="nothing had been saved yet: try a lower learning"):
        train_preference(bad, id_pairs(12), tmp_path / "run")
    # Far too high a rate: some steps are good, and stay.
    wild = replace(config, learning_rate=1e30, max_grad_norm=1e30, save_steps=1)
    with pytest.raises(TrainingStopped, match="no longer") as stopped:
        train_preference(wild, id_pairs(12), tmp_path / "wild")
    kept = last_checkpoint(tmp_path / "wild")
    assert kept is not None and str(kept) in str(stopped.value)
    assert all(torch.isfinite(each).all() for each in _weights(kept).values())


def test_a_full_disk_stops_with_the_last_checkpoint_kept(
    config: PreferenceConfig, tmp_path: Path
) -> None:
    def fill(done: int, _: int) -> None:
        if done == 3:  # a file where the folder of the next checkpoint is to go
            (tmp_path / "checkpoint-4").write_text("")

    with pytest.raises(TrainingStopped, match="cannot be written") as stopped:
        train_preference(config, id_pairs(12), tmp_path, fill)
    assert "checkpoint-2 is the last good state: make room and run" in str(stopped.value)
    (tmp_path / "checkpoint-4").unlink()
    assert train_preference(config, id_pairs(12), tmp_path).num_steps == 6


def test_no_pairs_left_is_said_with_the_reasons(config: PreferenceConfig, tmp_path: Path) -> None:
    cut = pair("a", (5, 6), (7,), (8,), complete=False)
    same = pair("b", (5, 6), (7,), (7,))
    empty = pair("c", (5, 6), (7,), ())
    with pytest.raises(ValueError, match="no pairs are left") as error:
        train_preference(config, [cut, same, empty], tmp_path)
    assert "1 with a rejected side that was cut off" in str(error.value)
    assert "1 whose sides are the same" in str(error.value)
    with pytest.raises(ValueError, match="none to begin with"):
        train_preference(config, [], tmp_path)


def test_an_adapter_for_another_base_is_refused(
    config: PreferenceConfig, run: Any, tmp_path: Path
) -> None:
    other = AutoModelForCausalLM.from_pretrained(config.model_name_or_path)
    with torch.no_grad():
        other.model.norm.weight.mul_(1.01)
    with pytest.raises(ValueError, match="trained over other weights"):
        with_adapter(other, run.trained)
    with pytest.raises(FileNotFoundError, match="holds no adapter"):
        with_adapter(other, tmp_path)


@pytest.mark.slow
def test_two_processes_have_the_loss_of_one(config: PreferenceConfig, tmp_path: Path) -> None:
    alone = train_preference(config, id_pairs(16), tmp_path / "one")
    script = Path(__file__).with_name("train_in_processes.py")
    subprocess.run(
        [*LAUNCH, script, config.model_name_or_path, tmp_path / "two"],
        check=True,
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[1])},
        timeout=540,
    )
    logs = [
        [json.loads(line) for line in (tmp_path / name / "log.jsonl").read_text().splitlines()]
        for name in ("one", "two")
    ]
    losses = [[line["loss"] for line in log if "loss" in line] for log in logs]
    assert len(losses[0]) == alone.num_steps == 8
    assert losses[1] == pytest.approx(losses[0], rel=1e-4)
