"""The sandbox model's training loop: seeded, interruptible, resumed to the very same weights.

What the batches hold depends on seed and position only, and a checkpoint holds model, optimisers
and position, so a run that was killed ends up where an undisturbed one does.
"""

import json
import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import FrameType

import torch
from rich.progress import Progress
from torch import Tensor
from transformers import PreTrainedTokenizerFast, Qwen3ForCausalLM

from . import corpus, vocabulary
from .architecture import Shape, new_model
from .corpus import Example
from .kinds import Split
from .muon import Muon
from .world import generate_traces

Groups = tuple[list[Example], ...]
"""The examples of one step: judgements, tasks, traces."""

MODEL = "model"
"""The subfolder of a build that becomes the model's folder; the rest is the run's."""


class BuildError(RuntimeError):
    """A build folder cannot be used as asked."""


@dataclass(frozen=True, slots=True)
class BuildConfig:
    """Everything that decides what comes out."""

    steps: int = 3800
    """Of the first run of the rates: up, level and down to zero."""
    finish_steps: int = 1600
    """Of a second run, from lower rates down to zero again."""
    seed: int = 0
    shape: Shape = field(default_factory=Shape)
    batch_tokens: int = 3072
    """Tokens a step, padding included."""
    max_length: int = 640
    """Longer examples are left out."""
    pool_size: int = 1200
    """Examples of each kind drawn at a time and sorted by length."""
    vocabulary_traces: int = 6000
    matrix_lr: float = 0.02
    embedding_lr: float = 0.015
    decay: float = 0.02
    warmup_steps: int = 40
    cooldown_share: float = 0.4
    """The last part of the steps, in which the rate falls to zero in a straight line."""
    finish_rate: float = 0.6
    """The highest rate of the second run, against the first."""
    checkpoint_every: int = 50

    def __post_init__(self) -> None:
        if self.steps < 1 or self.finish_steps < 0 or self.batch_tokens < self.max_length:
            raise ValueError("steps must be at least 1 and batch_tokens at least max_length")

    def rate(self, step: int) -> float:
        """The factor on the learning rates at a step."""
        if step >= self.steps:
            step -= self.steps
            warmup = min(1.0, (step + 1) / self.warmup_steps)
            return self.finish_rate * warmup * (1 - step / self.finish_steps)
        warmup = min(1.0, (step + 1) / self.warmup_steps)
        return warmup * min(1.0, (self.steps - step) / (self.steps * self.cooldown_share))

    @property
    def all_steps(self) -> int:
        """Of both runs."""
        return self.steps + self.finish_steps


def train(config: BuildConfig, out: Path, *, show: bool = True) -> bool:
    """Train into `out`, the model into its subfolder, until done (True) or interrupted (False).

    The same call goes on from the checkpoint.
    Raises BuildError when the folder was begun with another configuration.
    """
    (out / MODEL).mkdir(parents=True, exist_ok=True)
    _settle_config(config, out)
    tokenizer = _tokenizer(config, out)
    model = new_model(config.shape, tokenizer_ids(tokenizer), config.seed)
    optimizers = _optimizers(model, config)
    step, pool, index = _restore(out, model, optimizers)
    model.train()
    with Interruptible() as interrupted, Progress(disable=not show) as progress:
        bar = progress.add_task("training", total=config.all_steps, completed=step)
        for pool, index, groups in _stream(tokenizer, config, pool, index):  # noqa: B020
            if step >= config.all_steps:
                break
            losses = _update(model, optimizers, groups, config, step)
            step += 1
            progress.update(bar, completed=step, description=f"training, loss {losses[-1]:.3f}")
            if step % 20 == 0:
                _log(out, step, losses)
            done = step == config.all_steps
            if done or interrupted() or step % config.checkpoint_every == 0:
                _save(out, model, optimizers, (step, pool, index + 1))
            if interrupted() and not done:
                return False
    model.eval()
    model.save_pretrained(out / MODEL)
    return True


def tokenizer_ids(tokenizer: PreTrainedTokenizerFast) -> dict[str, int]:
    """The ids of pad, bos and eos."""
    vocabulary_ids = tokenizer.get_vocab()
    named = {"pad": vocabulary.PAD, "bos": vocabulary.BOS, "eos": vocabulary.END}
    return {name: vocabulary_ids[token] for name, token in named.items()}


def loss_of(model: Qwen3ForCausalLM, batch: list[Example]) -> Tensor:
    """Mean cross-entropy over the positions that carry weight, a scalar, nats a token."""
    width = max(len(example.ids) for example in batch)
    ids = torch.zeros((len(batch), width), dtype=torch.long)
    weights = torch.zeros((len(batch), width))
    for row, example in enumerate(batch):
        ids[row, : len(example.ids)] = torch.tensor(example.ids)
        weights[row, : len(example.ids)] = torch.tensor(example.weights)
    # Padding is on the right and carries no weight, so the causal mask alone will do.
    hidden = model.model(input_ids=ids, use_cache=False).last_hidden_state[:, :-1]
    wanted = weights[:, 1:] > 0
    logits = model.lm_head(hidden[wanted])
    losses = torch.nn.functional.cross_entropy(logits, ids[:, 1:][wanted], reduction="none")
    share = weights[:, 1:][wanted]
    return (losses * share).sum() / share.sum()


def _update(
    model: Qwen3ForCausalLM,
    optimizers: list[torch.optim.Optimizer],
    groups: Groups,
    config: BuildConfig,
    step: int,
) -> list[float]:
    """One step; gives the loss of each group."""
    losses = []
    for group in groups:
        loss = loss_of(model, group)
        (loss / len(groups)).backward()
        losses.append(loss.item())
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = group["initial_lr"] * config.rate(step)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    return losses


def _optimizers(model: Qwen3ForCausalLM, config: BuildConfig) -> list[torch.optim.Optimizer]:
    named = dict(model.named_parameters())
    matrices = [p for name, p in named.items() if p.ndim == 2 and "embed" not in name]
    others = [p for name, p in named.items() if p.ndim != 2 or "embed" in name]
    result: list[torch.optim.Optimizer] = [
        Muon(matrices, config.matrix_lr, decay=config.decay),
        torch.optim.AdamW(others, config.embedding_lr, betas=(0.9, 0.98), weight_decay=0.0),
    ]
    for optimizer in result:
        for group in optimizer.param_groups:
            group["initial_lr"] = group["lr"]
    return result


def _stream(
    tokenizer: PreTrainedTokenizerFast, config: BuildConfig, pool: int, index: int
) -> Iterator[tuple[int, int, Groups]]:
    """Steps' groups from a position on, each with its own."""
    while True:
        drawn = corpus.batches(
            tokenizer,
            config.seed,
            pool,
            pool_size=config.pool_size,
            batch_tokens=config.batch_tokens,
            max_length=config.max_length,
        )
        for number, groups in enumerate(drawn):
            if number >= index:
                yield pool, number, groups
        pool, index = pool + 1, 0


def _tokenizer(config: BuildConfig, out: Path) -> PreTrainedTokenizerFast:
    folder = out / MODEL
    if not (folder / "tokenizer.json").exists():
        traces = generate_traces(Split.TRAIN, config.vocabulary_traces, config.seed, forced=True)
        texts = (text for t in traces for text in (t.prompt.request, t.think, t.answer))
        vocabulary.fit(texts, config.shape.vocabulary).save_pretrained(folder)
    return vocabulary.load(folder)


def _settle_config(config: BuildConfig, out: Path) -> None:
    path, asked = out / MODEL / "build.json", asdict(config)
    if path.exists():
        begun = json.loads(path.read_text())
        changed = sorted(key for key in asked if begun.get(key) != asked[key])
        if changed:
            raise BuildError(
                f"{out} was begun with another {', '.join(changed)}: "
                "choose the same values or an empty folder"
            )
    path.write_text(json.dumps(asked, indent=2) + "\n")


def _save(
    out: Path,
    model: Qwen3ForCausalLM,
    optimizers: list[torch.optim.Optimizer],
    position: tuple[int, int, int],
) -> None:
    """Write the checkpoint whole or not at all."""
    state = {
        "model": model.state_dict(),
        "optimizers": [optimizer.state_dict() for optimizer in optimizers],
        "position": position,
    }
    torch.save(state, out / "checkpoint.tmp")
    os.replace(out / "checkpoint.tmp", out / "checkpoint.pt")


def _restore(
    out: Path, model: Qwen3ForCausalLM, optimizers: list[torch.optim.Optimizer]
) -> tuple[int, int, int]:
    path = out / "checkpoint.pt"
    if not path.exists():
        return 0, 0, 0
    state = torch.load(path, weights_only=True)
    model.load_state_dict(state["model"])
    for optimizer, saved in zip(optimizers, state["optimizers"], strict=True):
        optimizer.load_state_dict(saved)
    step, pool, index = state["position"]
    return step, pool, index


def _log(out: Path, step: int, losses: list[float]) -> None:
    judgements, tasks, traces = (round(loss, 4) for loss in losses)
    row = {"step": step, "judgements": judgements, "tasks": tasks, "traces": traces}
    with (out / "losses.jsonl").open("a") as file:
        file.write(json.dumps(row) + "\n")


class Interruptible:
    """Turn the first Ctrl-C or TERM into a question that the loop asks after its step."""

    def __init__(self) -> None:
        self.asked = False
        self.before: dict[int, Callable[[int, FrameType | None], object] | int | None] = {}

    def __enter__(self) -> Callable[[], bool]:
        for number in (signal.SIGINT, signal.SIGTERM):
            self.before[number] = signal.signal(number, self._note)
        return lambda: self.asked

    def __exit__(self, *_: object) -> None:
        for number, handler in self.before.items():
            signal.signal(number, handler)

    def _note(self, *_: object) -> None:
        self.asked = True
