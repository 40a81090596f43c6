"""An engine whose model follows a file: what training has promoted serves the next request.

Streams that run stay with the model that they began with, to their end; the old model goes when the
last one has ended. A model that cannot be loaded changes nothing: it is logged, and the one in
service stays.
"""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..guard.backend_async import AsyncBackend
from .engine import Engine
from .engine_options import Option
from .engine_prompts import Prompts
from .pointer_watch import Named, PointerWatch, content, named_in
from .server_logs import log_event

if TYPE_CHECKING:
    from .engines import EngineChoice

Load = Callable[[str, str | None], Engine]
"""Loads a model under an adapter, if there is one, as an engine."""

_GRACE_S = 60.0
"""An old engine stays so long at least: a request may have it in hand and not have begun."""


class FollowingEngine:
    """Answers as the engine does that was loaded last."""

    def __init__(
        self,
        first: Engine,
        pointer: Path,
        load: Load,
        *,
        poll_s: float = 1.0,
        serving: Named | None = None,
    ) -> None:
        """`pointer` is a JSON file with `model` and `adapter`, as `rerail train watch` writes it;
        it need not be there yet. `serving` is what `first` was loaded from."""
        self._current = first
        self._load = load
        self._retired: dict[Engine, float] = {}
        """Engines that were followed, and when each was last seen busy."""
        self._watch = PointerWatch(
            pointer, self._take, poll_s=poll_s, between=self._let_go, serving=serving
        )

    @property
    def backend(self) -> AsyncBackend:
        return self._current.backend

    @property
    def prompts(self) -> Prompts:
        return self._current.prompts

    @property
    def model_names(self) -> Sequence[str]:
        return self._current.model_names

    @property
    def stored_name(self) -> str:
        return self._current.stored_name

    @property
    def adapters(self) -> Mapping[str, str]:
        return self._current.adapters

    @property
    def max_model_len(self) -> int:
        return self._current.max_model_len

    @property
    def options(self) -> Mapping[str, Option]:
        return self._current.options

    @property
    def why_no_intervention(self) -> str | None:
        return self._current.why_no_intervention

    async def ready(self) -> bool:
        return await self._current.ready()

    async def close(self) -> None:
        await asyncio.to_thread(self._watch.close)
        for engine in (*self._retired, self._current):
            await engine.close()

    def _take(self, model: str, adapter: str | None) -> None:
        new = self._load(model, adapter)
        old, self._current = self._current, new
        self._retired[old] = time.monotonic()
        log_event("model swapped", model=new.stored_name, before=old.stored_name)

    def _let_go(self) -> None:
        """Closes old engines once nothing has run on them for a while."""
        now = time.monotonic()
        for engine, busy_at in list(self._retired.items()):
            if getattr(engine.backend, "num_open", 1):
                self._retired[engine] = now
            elif now - busy_at >= _GRACE_S:
                del self._retired[engine]
                asyncio.run(engine.close())


def new_following_engine(choice: "EngineChoice", pointer: Path) -> FollowingEngine:
    """Serves what the pointer names, or `choice` as long as it is not there.

    Traces carry the name that was asked for, with the fingerprint of the weights that wrote them.
    Raises what loading the first model raises.
    """
    from .engine_transformers import TransformersEngine
    from .models import load_weights

    def load(model: str, adapter: str | None) -> Engine:
        loaded, tokenizer = load_weights(replace(choice.model, model=model))
        if adapter is not None:
            from ..train.preference_models import with_adapter

            loaded = with_adapter(loaded, adapter).merge_and_unload()
        loaded.name_or_path = choice.model.model
        return TransformersEngine(
            loaded,
            tokenizer,
            model_names=choice.names,
            max_model_len=choice.max_model_len,
            reasoning_format=choice.reasoning_format,
        )

    there = content(pointer)
    serving = (choice.model.model, None) if there is None else named_in(there)
    return FollowingEngine(load(*serving), pointer, load, serving=serving)
