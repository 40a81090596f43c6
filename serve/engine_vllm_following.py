"""vLLM in this process under an adapter that follows a file: what training has promoted serves the
next request.

The engine stays, since vLLM holds several adapters beside one model: what changes is the adapter
that requests from then on are given. Streams that run keep theirs, through interventions as well.
"""

import asyncio
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .engine_vllm import VllmEngine, new_vllm_engine
from .pointer_watch import PointerWatch, content, named_in
from .server_logs import log_event
from .vllm_adapters import adapter_rank, lora_request

if TYPE_CHECKING:
    from .engines import EngineChoice


class FollowedAdapters:
    """Gives an engine the adapter that a file names."""

    def __init__(self, engine: VllmEngine, model: str, max_rank: int) -> None:
        """`model` is the only one that the file may name."""
        self._engine = engine
        self._model = model
        self._max_rank = max_rank
        self._numbers = count(len(engine.backend.adapters) + 1)
        self._served = tuple(name for name in engine.model_names if name not in engine.adapters)

    def take(self, model: str, adapter: str | None) -> None:
        """Raises ValueError for another model, and for an adapter that the engine cannot take."""
        engine = self._engine
        if model != self._model:
            raise ValueError(f"this engine serves {self._model} and adapters of it, not {model}")
        others = {each: to for each, to in engine.adapters.items() if each not in self._served}
        if adapter is not None:
            folder = Path(adapter)
            rank = adapter_rank(folder)
            if rank > self._max_rank:
                raise ValueError(
                    f"{folder} has rank {rank}, and the engine room for {self._max_rank}: start it "
                    f"with --engine-args '{{\"max_lora_rank\": {rank}}}'"
                )
            number = next(self._numbers)
            name = f"{folder.name}-{number}"
            engine.backend.adapters[name] = lora_request(name, number, folder)
            others |= dict.fromkeys(self._served, name)
        engine.adapters = others
        log_event("adapter swapped", model=engine.stored_name, adapter=adapter)


class FollowingVllmEngine(VllmEngine):
    """A `VllmEngine` that ends the watch with itself."""

    watch: PointerWatch | None = None

    async def close(self) -> None:
        if self.watch is not None:
            await asyncio.to_thread(self.watch.close)
        await super().close()


def new_following_vllm_engine(choice: "EngineChoice", pointer: Path) -> VllmEngine:
    """Raises as `new_vllm_engine`, and `ValueError` where the engine takes no adapters or the file
    names what it cannot serve."""
    if not choice.engine_args.get("enable_lora"):
        raise ValueError(
            "--follow with --engine vllm follows adapters: give "
            '--engine-args \'{"enable_lora": true, "max_lora_rank": 32}\''
        )
    engine = new_vllm_engine(choice, FollowingVllmEngine)
    assert isinstance(engine, FollowingVllmEngine)
    room: Any = choice.engine_args.get("max_lora_rank", 16)
    followed = FollowedAdapters(engine, choice.model.model, room)
    there, serving = content(pointer), (choice.model.model, None)
    if there is not None:
        serving = named_in(there)
        followed.take(*serving)
    engine.watch = PointerWatch(pointer, followed.take, serving=serving)
    return engine
