"""A fit that is stopped inside a pass ends at the weights of one that was not."""

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer
from torch import Tensor

from rerail.distill import fit_progress
from rerail.distill.encoder_examples import EncoderExample
from rerail.distill.encoder_fit import EncoderFit, Lengths, fit_encoder
from rerail.distill.encoder_model import EncoderModel

SETTINGS = EncoderFit(num_epochs=2, tokens_per_batch=60, seed=3)


class Stopped(KeyboardInterrupt):
    """Stands for Ctrl-C."""


class StoppableModel(EncoderModel):
    """Is interrupted at its batch of this number, counted from 0."""

    stop_at = -1
    num_batches = 0

    def upper(self, hidden: Tensor, attention_mask: Tensor, token_type_ids: Tensor) -> Tensor:
        if self.num_batches == self.stop_at:
            raise Stopped
        self.num_batches += 1
        return super().upper(hidden, attention_mask, token_type_ids)


@pytest.fixture
def tokenizer(encoder: Path) -> Tokenizer:
    return Tokenizer.from_file(str(encoder / "tokenizer.json"))


@pytest.fixture(autouse=True)
def kept_at_every_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fit_progress, "SECONDS_BETWEEN", 0.0)


def new_model(encoder: Path, stop_at: int = -1) -> StoppableModel:
    torch.manual_seed(1)
    model = StoppableModel(encoder, num_frozen=1)
    model.stop_at = stop_at
    return model


def examples() -> list[EncoderExample]:
    return [
        EncoderExample(f"Ask for {n} of them", "", None, (float(n % 2), 0.0, 0.0), (1.0, 0.0, 0.0))
        for n in range(40)
    ]


def weights_of(model: EncoderModel) -> Sequence[Tensor]:
    return list(model.state_dict().values())


def test_a_stopped_fit_goes_on_to_the_same_weights(
    encoder: Path, tokenizer: Tokenizer, tmp_path: Path
) -> None:
    whole = new_model(encoder)
    fit_encoder(whole, tokenizer, examples(), Lengths(), SETTINGS)
    assert whole.num_batches >= 10
    kept = tmp_path / "kept.pt"
    stopped = new_model(encoder, stop_at=whole.num_batches // 2 + 1)
    with pytest.raises(Stopped):
        fit_encoder(stopped, tokenizer, examples(), Lengths(), SETTINGS, kept)
    resumed = new_model(encoder)
    fit_encoder(resumed, tokenizer, examples(), Lengths(), SETTINGS, kept)
    assert resumed.num_batches == whole.num_batches - stopped.num_batches
    for one, other in zip(weights_of(whole), weights_of(resumed), strict=True):
        assert torch.equal(one, other)
    assert not list(tmp_path.glob("*.partial"))


def test_what_is_kept_of_other_data_is_not_gone_on_from(
    encoder: Path, tokenizer: Tokenizer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    kept = tmp_path / "kept.pt"
    stopped = new_model(encoder, stop_at=4)
    with pytest.raises(Stopped):
        fit_encoder(stopped, tokenizer, examples(), Lengths(), SETTINGS, kept)
    other = [replace(entry, targets=(1.0, 0.0, 0.0)) for entry in examples()]
    expected = new_model(encoder)
    fit_encoder(expected, tokenizer, other, Lengths(), SETTINGS)
    found = new_model(encoder)
    with caplog.at_level(logging.INFO):
        fit_encoder(found, tokenizer, other, Lengths(), SETTINGS, kept)
    assert "begins anew" in caplog.text
    assert found.num_batches == expected.num_batches
    for one, same in zip(weights_of(expected), weights_of(found), strict=True):
        assert torch.equal(one, same)
