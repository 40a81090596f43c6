"""The loss against one written by hand, token by token; what the prefix gets: exactly nothing."""

# pyright: reportPrivateUsage=false

from pathlib import Path
from typing import Any

import pytest
import torch
from preference_pairs import id_pairs, pair, save_tiny
from tiny_models import tiny_model, tiny_tokenizer

from rerail.train.preference_config import Arm, Layout, PreferenceConfig
from rerail.train.preference_data import rows_of
from rerail.train.preference_layout import PlainCollator, SharedCollator, takes_masks
from rerail.train.preference_models import load_policy
from rerail.train.preference_setup import build_trainer


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny(tmp_path_factory.mktemp("tiny"))


def _trainer(folder: Path, out: Path, pairs: list[Any], **options: Any) -> Any:
    config = PreferenceConfig(
        **({"model_name_or_path": str(folder), "use_cpu": True, "lora_r": 4} | options)
    )
    model, tokenizer, _ = load_policy(config)
    rows = rows_of(pairs, tokenizer, config)
    return build_trainer(config, model, tokenizer, rows, out)


def _batch(trainer: Any, num: int) -> Any:
    return trainer.data_collator([trainer.train_dataset[index] for index in range(num)])


def _loss(trainer: Any, batch: Any) -> Any:
    trainer.model.train()
    return trainer.compute_loss(trainer.model, batch)


def _logp_by_hand(model: Any, prompt: list[int], side: list[int]) -> list[torch.Tensor]:
    """One sequence alone, one token after the other: no batch, no padding, no mask."""
    logits = model(input_ids=torch.tensor([prompt + side])).logits[0].log_softmax(-1)
    return [logits[len(prompt) + at - 1, token] for at, token in enumerate(side)]


def _loss_by_hand(policy: Any, reference: Any, rows: list[Any], beta: float, sft: float) -> Any:
    losses, chosen_tokens = [], []
    for row in rows:
        ours, refs = [], []
        for name in ("chosen_ids", "rejected_ids"):
            ours.append(_logp_by_hand(policy, row["prompt_ids"], row[name]))
            refs.append(_logp_by_hand(reference, row["prompt_ids"], row[name]))
        chosen, rejected = (
            sum(a) - sum(b).detach()  # pyright: ignore
            for a, b in zip(ours, refs, strict=True)
        )
        losses.append(-torch.log(1 / (1 + torch.exp(-beta * (chosen - rejected)))))
        chosen_tokens += ours[0]
    return torch.stack(losses).mean() - sft * torch.stack(chosen_tokens).mean()


def _shake(trainer: Any) -> None:
    """Away from the reference, where the loss would be log 2 whatever the masks do."""
    torch.manual_seed(3)
    with torch.no_grad():
        for parameter in trainer.model.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn_like(parameter) * 0.05)


@pytest.mark.parametrize("layout", list(Layout))
def test_the_loss_and_its_gradient_are_those_written_by_hand(
    folder: Path, tmp_path: Path, layout: Layout
) -> None:
    trainer = _trainer(folder, tmp_path, id_pairs(6), layout=layout, per_device_train_batch_size=6)
    _shake(trainer)
    rows = [trainer.train_dataset[index] for index in range(6)]
    got = _loss(trainer, _batch(trainer, 6))
    got.backward()
    gradients = {
        name: each.grad.clone()
        for name, each in trainer.model.named_parameters()
        if each.grad is not None
    }
    trainer.model.zero_grad()
    expected = _loss_by_hand(trainer.model, tiny_model("qwen3"), rows, 0.1, 0.2)
    expected.backward()
    assert got.item() == pytest.approx(expected.item(), rel=1e-5)
    assert gradients and got.item() != pytest.approx(0.693, abs=0.01)
    for name, each in trainer.model.named_parameters():
        if each.grad is not None:
            assert torch.allclose(each.grad, gradients[name], atol=1e-5), name


def test_the_preference_term_is_trl_s_own_to_the_last_digits(folder: Path, tmp_path: Path) -> None:
    from trl.trainer.dpo_trainer import DataCollatorForPreference, DPOTrainer

    trainer = _trainer(folder, tmp_path, id_pairs(4), precompute_ref_log_probs=False)
    _shake(trainer)
    rows = [trainer.train_dataset[index] for index in range(4)]
    ours = _loss(trainer, _batch(trainer, 4)).item()
    seen: Any = _AsTrl(trainer)
    theirs = DPOTrainer._compute_loss(
        seen, trainer.model, DataCollatorForPreference(pad_token_id=0)(rows), False
    )
    assert ours == pytest.approx(theirs.item(), rel=1e-5)


class _AsTrl:
    """The trainer as TRL's own loss sees it, with the two terms that are asked of it."""

    def __init__(self, trainer: Any) -> None:
        self._trainer = trainer
        self.precompute_ref_logps = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._trainer, name)


@pytest.mark.parametrize("layout", list(Layout))
def test_prefix_positions_carry_exactly_no_loss(
    folder: Path, tmp_path: Path, layout: Layout
) -> None:
    """A mask that is off by one would put the prefix's last token, or none, into the loss."""
    trainer = _trainer(folder, tmp_path, id_pairs(5), layout=layout)
    batch = _batch(trainer, 5)
    hidden: list[torch.Tensor] = []
    model = trainer.model.get_base_model().model
    handle = model.register_forward_hook(
        lambda _, __, output: (
            output.last_hidden_state.retain_grad(),
            hidden.append(output.last_hidden_state),
        )[1]
    )
    _loss(trainer, batch).backward()
    handle.remove()
    gradient = hidden[0].grad
    assert gradient is not None
    trained = batch["branch"] > 0
    assert torch.equal(gradient[~trained], torch.zeros_like(gradient[~trained]))
    assert bool((gradient[trained].abs().sum(-1) > 0).all())
    sides = sum(
        len(trainer.train_dataset[i][side])
        for i in range(5)
        for side in ("chosen_ids", "rejected_ids")
    )
    assert int(trained.sum()) == sides  # every token of a side once, none twice


def test_every_trained_token_is_a_logged_one_and_no_end_token_is_added() -> None:
    rows = [
        {"prompt_ids": [5, 6, 7], "chosen_ids": [8, 9], "rejected_ids": [10, 11, 12]},
        {"prompt_ids": [5], "chosen_ids": [8], "rejected_ids": [9]},
    ]
    shared = SharedCollator(0)(rows)
    assert shared["input_ids"].tolist() == [[5, 6, 7, 8, 7, 10, 11], [5, 5, 0, 0, 0, 0, 0]]
    assert shared["position_ids"].tolist()[0] == [0, 1, 2, 3, 2, 3, 4]
    assert shared["labels"].tolist()[0] == [-100, -100, 8, 9, 10, 11, 12]
    assert shared["branch"].tolist()[1] == [1, 2, 0, 0, 0, 0, 0]
    plain = PlainCollator(0)(rows)
    assert plain["input_ids"].tolist()[0] == [5, 6, 7, 8, 9, 0]
    assert plain["labels"].tolist()[2] == [-100, -100, 10, 11, 12, -100]


def test_a_side_never_sees_the_other() -> None:
    row = {"prompt_ids": [5, 6, 7], "chosen_ids": [8, 9], "rejected_ids": [10, 11, 12]}
    seen = SharedCollator(0)([row])["attention_mask"][0, 0]
    assert seen[4].tolist() == [True, True, False, False, True, False, False]
    assert seen[3].tolist() == [True, True, True, True, False, False, False]


def test_only_models_whose_attention_takes_a_mask_share_the_prefix() -> None:
    kinds = {name: takes_masks(tiny_model(name)) for name in ("qwen3", "llama", "gemma3", "mamba")}
    assert kinds == {"qwen3": True, "llama": True, "gemma3": False, "mamba": False}


def test_the_first_tokens_only(folder: Path, tmp_path: Path) -> None:
    trainer = _trainer(folder, tmp_path, id_pairs(4), first_tokens=2)
    batch = _batch(trainer, 4)
    assert [(batch["branch"] == side).sum().item() for side in (1, 2)] == [8, 8]


def test_supervised_training_on_the_whole_intervened_response(folder: Path, tmp_path: Path) -> None:
    tokenizer = tiny_tokenizer()
    opening = tokenizer("<|im_start|>assistant\n", add_special_tokens=False)["input_ids"]
    one = pair("w", (30, 31, *opening, 40, 41), (50, 51), (60, 61, 62))
    trainer = _trainer(folder, tmp_path, [one], arm=Arm.SFT, num_train_epochs=1)
    batch = _batch(trainer, 1)
    expected = _logp_by_hand(trainer.model, [30, 31, *opening], [40, 41, 50, 51])
    assert _loss(trainer, batch).item() == pytest.approx(
        -torch.stack(expected).mean().item(), rel=1e-5
    )
    whole = _trainer(folder, tmp_path / "w", [one], arm=Arm.WHOLE, num_train_epochs=1)
    row = whole.train_dataset[0]
    assert row["prompt_ids"] == [30, 31, *opening]
    assert row["rejected_ids"] == [40, 41, 60, 61, 62]
