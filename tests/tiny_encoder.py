"""A sentence encoder that can be distilled with in seconds."""

from pathlib import Path

import pytest

from rerail.guard.student_folder import SHIPPED


@pytest.fixture(scope="session")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BERT of two layers and width 32 with random weights, and the shipped word pieces."""
    import torch
    from transformers import BertConfig, BertModel

    folder = tmp_path_factory.mktemp("encoder")
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=30522, hidden_size=32, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=64,
    )  # fmt: skip
    BertModel(config).save_pretrained(folder)
    (folder / "tokenizer.json").write_text((SHIPPED / "tokenizer.json").read_text())
    return folder
