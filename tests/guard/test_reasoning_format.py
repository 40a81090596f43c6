"""What is known of a format before any text is generated."""

import json
from pathlib import Path

import pytest

from rerail.guard.reasoning_format import FORMATS, ReasoningFormat

TOKENIZERS = Path(__file__).parents[3] / "shared" / "data" / "tokenizers"


@pytest.mark.parametrize(
    ("name", "prompt", "expected"),
    [
        ("r1", "<｜User｜>Hi<｜Assistant｜><think>\n", True),
        ("r1", "<｜User｜>Hi<｜Assistant｜>", False),
        ("r1", "What does <think> do?<｜Assistant｜>", False),
        ("qwen3", "<|im_start|>assistant\n", False),
        ("qwen3", "<|im_start|>assistant\n<think>", True),
        ("qwen3", "<|im_start|>assistant\n<think>\n\n</think>\n\n", False),
        ("harmony", "<|start|>assistant", False),
        ("harmony", "<|start|>assistant<|channel|>analysis<|message|>", True),
        ("harmony", "<|start|>assistant<|channel|>final<|message|>", False),
        ("none", "", False),
        ("none", "<think>\n", False),
    ],
)
def test_is_open(name: str, prompt: str, expected: bool) -> None:
    assert FORMATS[name].is_open(prompt) is expected


@pytest.mark.parametrize(
    ("vocabulary", "expected"),
    [
        ({"<think>": 1, "</think>": 2, "a": 3}, "qwen3"),
        ({"<think>": 1}, "none"),
        ({"<|channel|>": 1, "<|message|>": 2, "<think>": 3, "</think>": 4}, "harmony"),
        ({"<|channel|>": 1}, "none"),
        ({}, "none"),
    ],
)
def test_detect(vocabulary: dict[str, int], expected: str) -> None:
    assert ReasoningFormat.detect(vocabulary) is FORMATS[expected]


@pytest.mark.parametrize("folder", ["r1-distill-qwen", "qwen3"])
def test_detect_from_a_real_vocabulary(folder: str) -> None:
    file = TOKENIZERS / folder / "tokenizer.json"
    if not file.exists():
        pytest.skip("needs the tokenizers of ../shared/data, which are not here")
    added = {token["content"] for token in json.loads(file.read_text())["added_tokens"]}
    assert ReasoningFormat.detect(added) is FORMATS["qwen3"]


def test_close_reasoning():
    assert FORMATS["r1"].close_reasoning == "</think>\n\n"
    harmony = "<|end|><|start|>assistant<|channel|>final<|message|>"
    assert FORMATS["harmony"].close_reasoning == harmony
    assert FORMATS["none"].close_reasoning == ""


def test_names_and_aliases():
    assert ReasoningFormat.named("deepseek_r1") is FORMATS["r1"]
    assert FORMATS["openai_gptoss"] is FORMATS["harmony"]
    with pytest.raises(ValueError, match="use one of deepseek_r1, harmony, none"):
        ReasoningFormat.named("r2")
