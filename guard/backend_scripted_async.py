"""The scripted model behind the asynchronous contract: many streams, each with its own script."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from .backend_scripted import ScriptedBackend, ScriptedStream
from .prompt import Prompt
from .reasoning_format import ReasoningFormat
from .tokens import Token, TokenTable
from .traces import FinishReason


class AsyncScriptedBackend:
    """Streams the scripts of `scripts`, one for each request text; `delay_s` between groups."""

    def __init__(self, scripts: Mapping[str, ScriptedBackend], *, delay_s: float = 0.0) -> None:
        if not scripts:
            raise ValueError("a scripted backend needs at least one script")
        self.scripts = dict(scripts)
        self.delay_s = delay_s
        self.num_open = 0
        """Runs that have begun and not been closed."""

    @property
    def reasoning_format(self) -> ReasoningFormat:
        """The first script's."""
        return next(iter(self.scripts.values())).reasoning_format

    def stream(
        self, prompt: Prompt, kept: TokenTable, sampling: Mapping[str, Any]
    ) -> "AsyncScriptedStream":
        """The next continuation of the script for the prompt's request; KeyError if there is
        none."""
        return AsyncScriptedStream(
            self, self.scripts[prompt.request].stream(prompt, kept, sampling)
        )

    async def encode(self, text: str, prompt: Prompt, kept: TokenTable) -> list[Token]:
        """As the script for the prompt's request does."""
        return self.scripts[prompt.request].encode(text, prompt, kept)


class AsyncScriptedStream:
    """One run of a script."""

    def __init__(self, backend: AsyncScriptedBackend, stream: ScriptedStream) -> None:
        self._backend = backend
        self._stream = stream
        self._open = True
        backend.num_open += 1

    @property
    def finish_reason(self) -> FinishReason:
        """Why the run ended, or would end."""
        return self._stream.finish_reason

    async def __aiter__(self) -> AsyncIterator[Sequence[Token]]:
        for tokens in self._stream:
            await asyncio.sleep(self._backend.delay_s)
            yield tokens

    async def close(self) -> None:
        """Nothing more comes; may be called again."""
        if self._open:
            self._open = False
            self._backend.num_open -= 1
            self._stream.close()
