"""Engines by name, as `rerail serve MODEL` takes them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..guard.server_address import is_address, root_of
from ..guard.upstream_settings import UpstreamSettings
from .engine import Engine
from .options import ModelChoice


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineChoice:
    """Which engine is meant, and how it is to be set up."""

    model: ModelChoice
    served_names: Sequence[str]
    """What requests call the model; by default its own name."""

    max_model_len: int | None
    reasoning_format: str
    upstream: UpstreamSettings = field(default_factory=UpstreamSettings)
    upstream_api_key: str | None = field(default=None, repr=False)
    engine_args: Mapping[str, Any] = field(default_factory=dict)
    """Further arguments of vLLM's engine, by its own names."""

    adapters: Mapping[str, Path] = field(default_factory=dict)
    """LoRA adapters beside the model, by the names that requests call them."""

    @property
    def names(self) -> tuple[str, ...]:
        """What requests call the model."""
        return tuple(self.served_names) or (self.model.model,)


def _transformers(choice: EngineChoice) -> Engine:
    from .models import load_weights

    model, tokenizer = load_weights(choice.model)
    from .engine_transformers import TransformersEngine

    return TransformersEngine(
        model,
        tokenizer,
        model_names=choice.names,
        max_model_len=choice.max_model_len,
        reasoning_format=choice.reasoning_format,
    )


def _upstream(choice: EngineChoice) -> Engine:
    from .engine_upstream import new_upstream_engine

    return new_upstream_engine(
        choice.model.model,
        choice.upstream,
        api_key=choice.upstream_api_key,
        model_names=choice.served_names,
        max_model_len=choice.max_model_len,
        reasoning_format=choice.reasoning_format,
    )


def _vllm(choice: EngineChoice) -> Engine:
    from .engine_vllm import new_vllm_engine

    return new_vllm_engine(choice)


ENGINES: Mapping[str, Callable[[EngineChoice], Engine]] = {
    "transformers": _transformers,
    "upstream": _upstream,
    "vllm": _vllm,
}
"""Every engine, by the word of `--engine`."""


def engine_name(asked: str, model: str) -> str:
    """The engine that `--engine` means for this model; `auto` takes the upstream for an address.

    Raises `ValueError` for an unknown one, and for one that cannot run such a model.
    """
    name = asked
    if asked == "auto":
        name = "upstream" if is_address(model) else "transformers"
    if name not in ENGINES:
        raise ValueError(f"there is no engine {name!r}: use auto, {', '.join(ENGINES)}")
    if is_address(model):
        root_of(model)  # before a message quotes it
    if is_address(model) != (name == "upstream"):
        what = "a server's address" if is_address(model) else "no server's address"
        raise ValueError(f"{model} is {what}, so the engine {name} cannot run it: use auto")
    return name


def load_engine(name: str, choice: EngineChoice, follow: Path | None = None) -> Engine:
    """The engine, loaded; with `follow` its model is the one that this file names, whenever it
    changes (`rerail train watch` writes it).

    Raises `ValueError`, `ImportError`, `OSError` or `UpstreamError` with a sentence.
    """
    name = engine_name(name, choice.model.model)
    if follow is None:
        return ENGINES[name](choice)
    if name == "upstream":
        raise ValueError("--follow is for models in this process, and an upstream runs elsewhere")
    if name == "vllm":
        from .engine_vllm_following import new_following_vllm_engine

        return new_following_vllm_engine(choice, follow)
    from .engine_following import new_following_engine

    return new_following_engine(choice, follow)
