"""What the tests of distillation share."""

from pathlib import Path

import pytest
import torch
from command_line import CommandLine
from transformers import BertConfig, BertModel

from rerail.guard.student_folder import SHIPPED


@pytest.fixture
def rerail(tmp_path: Path) -> CommandLine:
    return CommandLine(tmp_path)


@pytest.fixture(scope="session")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BERT of two layers and width 32 with random weights, and the shipped word pieces."""
    folder = tmp_path_factory.mktemp("encoder")
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=30522, hidden_size=32, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=64,
    )  # fmt: skip
    BertModel(config).save_pretrained(folder)
    (folder / "tokenizer.json").write_text((SHIPPED / "tokenizer.json").read_text())
    return folder
