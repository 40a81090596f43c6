"""What `--lora-modules` says, and what vLLM is told of it."""

import json
from pathlib import Path

import pytest

from rerail.serve.vllm_adapters import adapter_arguments, named_adapters


def _adapter(folder: Path, rank: int) -> Path:
    folder.mkdir()
    (folder / "adapter_config.json").write_text(json.dumps({"r": rank}))
    return folder


def test_names_and_folders() -> None:
    assert named_adapters(["a=x/y", "b=z=1"]) == {"a": Path("x/y"), "b": Path("z=1")}
    for wrong in (["a"], ["=x"], ["a="], ["a=x", "a=y"]):
        with pytest.raises(ValueError, match="NAME=FOLDER"):
            named_adapters(wrong)


def test_room_is_made_for_the_largest(tmp_path: Path) -> None:
    assert adapter_arguments({}) == {}
    adapters = {"a": _adapter(tmp_path / "a", 4), "b": _adapter(tmp_path / "b", 24)}
    assert adapter_arguments(adapters) == {
        "enable_lora": True,
        "max_lora_rank": 32,
        "max_loras": 2,
    }


def test_what_is_no_adapter(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="holds no LoRA adapter"):
        adapter_arguments({"a": tmp_path})
    (tmp_path / "adapter_config.json").write_text("[" * 100_000)
    with pytest.raises(ValueError, match="holds no LoRA adapter"):
        adapter_arguments({"a": tmp_path})
    with pytest.raises(ValueError, match="rank 600"):
        adapter_arguments({"a": _adapter(tmp_path / "a", 600)})
