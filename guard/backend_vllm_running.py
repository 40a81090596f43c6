"""A vLLM engine with what belongs to it: its tokenizer, its name, and the thread of its loop."""

# pyright: reportMissingImports=false

import weakref
from pathlib import Path
from typing import Any, Self

from vllm.v1.engine.async_llm import AsyncLLM

from .backend_vllm_loading import engine_identity, engine_tokenizer, shut_down, start_engine
from .backend_vllm_prompts import VllmPrompts
from .loop_thread import LoopThread


class RunningVllm:
    """Takes over an `AsyncLLM` that nothing has been asked of yet; shut down by `close`, and with
    the program."""

    def __init__(
        self, engine: AsyncLLM, tokenizer: Any | None = None, *, name: str | None = None
    ) -> None:
        """`name` is what traces call the model, the weights' fingerprint behind it."""
        self.engine = engine
        self.tokenizer = tokenizer if tokenizer is not None else engine_tokenizer(engine)
        self.prompts = VllmPrompts(
            self.tokenizer,
            model_name=engine_identity(engine, name),
            max_positions=engine.model_config.max_model_len,
        )
        self.thread = LoopThread("rerail-vllm")
        self.close = weakref.finalize(self, _close, engine, self.thread)

    @classmethod
    def start(cls, name_or_path: str | Path, **engine_args: Any) -> Self:
        """As `start_engine`."""
        return cls(start_engine(name_or_path, **engine_args), name=str(name_or_path))

    @property
    def max_num_seqs(self) -> int:
        """Sequences that the engine works on together."""
        return self.engine.vllm_config.scheduler_config.max_num_seqs


def _close(engine: AsyncLLM, thread: LoopThread) -> None:
    thread.close()
    shut_down(engine)
