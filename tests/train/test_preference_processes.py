"""`rerail train preference` in two processes: one of them speaks and writes."""

import json
import subprocess
from pathlib import Path

import pytest
from command_line import CommandLine
from preference_pairs import id_pairs, save_tiny
from two_processes import LAUNCH

from rerail.guard.pair_files import export_pairs


@pytest.mark.slow
def test_what_two_processes_merge_is_written_once(tmp_path: Path) -> None:
    """Both writing `merged` at once took each other's half of it away."""
    export_pairs(id_pairs(16), tmp_path / "pairs.jsonl")
    done = subprocess.run(
        [
            *(*LAUNCH, "-m", "rerail.serve.cli_train_process", "--pairs", "pairs.jsonl"),
            *("--model_name_or_path", save_tiny(tmp_path / "tiny"), "--out", "out", "--merged"),
            *("--use_cpu", "--lora_r", "4", "--per_device_train_batch_size", "2"),
            *("--num_train_epochs", "1"),
        ],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=CommandLine(tmp_path).environment | {"ACCELERATE_USE_CPU": "true"},
        timeout=540,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stderr.count("merged into") == 1
    assert json.loads((tmp_path / "out" / "result.json").read_text())["num_steps"] == 4
    assert (tmp_path / "out" / "merged" / "model.safetensors").exists()
