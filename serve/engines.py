"""Engines by name, as `rerail serve MODEL` takes them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

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

    @property
    def names(self) -> tuple[str, ...]:
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


ENGINES: Mapping[str, Callable[[EngineChoice], Engine]] = {"transformers": _transformers}
"""Every engine, by the word of `--engine`."""


def load_engine(name: str, choice: EngineChoice) -> Engine:
    """The engine, loaded. Raises `ValueError`, `ImportError` or `OSError` with a sentence."""
    if name not in ENGINES:
        raise ValueError(f"there is no engine {name!r}: use {', '.join(ENGINES)}")
    if choice.model.model.startswith(("http://", "https://")):
        raise ValueError(
            f"{choice.model.model} is a server's address, and the engine {name} runs models in "
            f"this process: give a model's folder or name (engines: {', '.join(ENGINES)})"
        )
    return ENGINES[name](choice)
