"""`rerail train` as a user runs it: what it refuses, and training from a file of pairs."""

import json

import pytest
from command_line import CommandLine, refused
from preference_pairs import id_pairs, save_tiny

from rerail.guard.pair_files import export_pairs


def test_what_is_missing_is_said(rerail: CommandLine) -> None:
    refused(rerail("train", "rounds", "--out", "r"), 2, "--sandbox")
    refused(rerail("train", "gate"), 2, "--model or --adapter")
    done = rerail("train", "preference", "--pairs", "none.jsonl", "--out", "t")
    refused(done, 1, "none.jsonl", "no such file")


def test_training_from_a_file(rerail: CommandLine) -> None:
    pairs = rerail.home / "pairs.jsonl"
    export_pairs(id_pairs(8), pairs)
    model = save_tiny(rerail.home / "tiny")
    command = ["train", "preference", "--model_name_or_path", model, "--pairs", pairs,
               "--out", rerail.home / "t", "--lora_r", "4", "--num_train_epochs", "1",
               "--per_device_train_batch_size", "4", "--use_cpu", "--merged"]  # fmt: skip
    done = rerail(*command)
    assert done.code == 0, done.err
    assert "8 pairs, 2 steps" in done.err
    assert json.loads((rerail.home / "t" / "result.json").read_text())["num_pairs"] == 8
    assert (rerail.home / "t" / "merged" / "model.safetensors").exists()
    refused(rerail(*command, "--beta", "0.5"), 1, "another beta")


@pytest.mark.slow
def test_rounds_on_the_sandbox(rerail: CommandLine) -> None:
    done = rerail(
        "train", "rounds", "--sandbox", "--rounds", "1", "--detector", "exact",
        "--num-harmful", "4", "--num-harmless", "4", "--num-gate", "2", "--num-labelled", "3",
        "--rollouts.max-new-tokens", "160", "--out", "r",
    )  # fmt: skip
    assert done.code == 0, done.err
    assert "harmful" in done.out
    assert (rerail.home / "r" / "round-1" / "report.json").exists()
