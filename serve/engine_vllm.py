"""The engine over vLLM in this process: `sandbox`, a folder, a hub name.

It belongs to the event loop of the server. What vLLM logs is its own; the commands turn it down.
"""

import asyncio
import os
from collections.abc import Generator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..guard import Event, Guard, Message
from ..guard.backend_vllm import VllmBackend
from ..guard.backend_vllm_loading import engine_identity, engine_tokenizer, shut_down, start_engine
from ..guard.backend_vllm_running import RunningVllm
from ..guard.model_vllm import GuardedVllm
from .cli_errors import CommandFailed
from .engine_options import Option
from .engine_prompts import Prompts, ThreadedPrompts, format_named
from .options import ModelChoice
from .vllm_adapters import adapter_arguments, lora_requests
from .vllm_fields import vllm_fields

if TYPE_CHECKING:
    from .engines import EngineChoice


class VllmEngine:
    """One `AsyncLLM` with its tokenizer; shuts the engine down when it is closed."""

    why_no_intervention: str | None = None

    def __init__(
        self,
        engine: Any,
        *,
        loaded_name: str,
        model_names: Sequence[str],
        reasoning_format: str = "auto",
        adapters: Mapping[str, Path] | None = None,
    ) -> None:
        """`loaded_name` is the folder or name that the model was loaded by, `model_names` what
        requests call it. Raises `ValueError` for a reasoning format that is unknown."""
        tokenizer = engine_tokenizer(engine)
        named = format_named(reasoning_format)
        self.backend = VllmBackend(engine, tokenizer, reasoning_format=named)
        self.backend.adapters = lora_requests(adapters or {})
        self.adapters: Mapping[str, str] = {name: name for name in self.backend.adapters}
        self.model_names = (*model_names, *self.adapters)
        self.stored_name = engine_identity(engine, loaded_name)
        self.max_model_len = self.backend.max_positions
        self.options: Mapping[str, Option] = vllm_fields(len(tokenizer), self.backend.check)
        self._engine = engine
        form = self.backend.reasoning_format
        self.prompts: Prompts = ThreadedPrompts(tokenizer, form, self.stored_name)

    async def ready(self) -> bool:
        return not self._engine.errored

    async def close(self) -> None:
        await asyncio.to_thread(shut_down, self._engine)


def new_vllm_engine(choice: "EngineChoice", kind: type[VllmEngine] = VllmEngine) -> VllmEngine:
    """Starts the engine that the command line asks for; takes half a minute and more.

    Raises `ValueError`, `OSError` or `CommandFailed` with a sentence.
    """
    arguments = engine_args(choice.model)
    if choice.max_model_len is not None:
        arguments["max_model_len"] = choice.max_model_len
    twice = choice.adapters.keys() & set(choice.names)
    if twice:
        raise ValueError(f"{min(twice)} names the model and an adapter: give one another name")
    arguments |= adapter_arguments(choice.adapters)
    engine = _started(arguments | dict(choice.engine_args))
    return kind(
        engine,
        loaded_name=choice.model.model,
        model_names=choice.names,
        reasoning_format=choice.reasoning_format,
        adapters=choice.adapters,
    )


def vllm_events(
    choice: ModelChoice,
    guard: Guard,
    messages: Sequence[Message],
    sampling: Mapping[str, Any],
    *,
    seed: int,
) -> Generator[Event, None, None]:
    """One conversation answered by an engine of its own, as events; it is shut down at the end.

    Raises as `new_vllm_engine`.
    """
    os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")  # the answer is all that is to be seen
    engine = _started(engine_args(choice))
    with GuardedVllm(RunningVllm(engine, name=choice.model), guard=guard) as model:
        yield from model.stream(messages, seed=seed, **sampling)


def _started(arguments: Mapping[str, Any]) -> Any:
    try:
        return start_engine(**arguments)
    except RuntimeError as error:
        reason = str(error).strip().split("\n", 1)[0]
        raise CommandFailed(f"vLLM does not start: {reason}") from error


def engine_args(choice: ModelChoice) -> dict[str, Any]:
    """What the command line says of the model, with vLLM's names.

    Raises `ValueError` for a device, which vLLM chooses itself.
    """
    from ..train.sandbox.shipped import model_folder

    device = choice.loading.device
    if device is not None:
        raise ValueError(f"--device {device} is not for vLLM: it takes the machine's own")
    arguments: dict[str, Any] = {"name_or_path": choice.model}
    if choice.is_sandbox:
        arguments = {"name_or_path": model_folder(), **SMALL}
    return arguments | choice.loading.arguments()


SMALL: Mapping[str, Any] = {
    "dtype": "float32",
    "enforce_eager": True,
    "kv_cache_memory_bytes": 1 << 28,
    "block_size": 32,
}
"""For the embedded model: it needs no half of the machine's memory, and no compiler."""
