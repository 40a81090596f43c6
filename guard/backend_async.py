"""The same contract as backend.py for engines that stream many generations at once."""

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Protocol

from .prompt import Prompt
from .reasoning_format import ReasoningFormat
from .tokens import Token, TokenTable
from .traces import FinishReason


class AsyncTokenStream(Protocol):
    """One run of the engine. Iterating gives tokens in the groups in which they come.

    A stream whose engine goes on without being read, and that gives all that has come meanwhile as
    one group, says so by an attribute `runs_ahead = True`; others are drained in a task. One whose
    engine says when it has taken the request up has an attribute `on_accepted`, a function without
    arguments that it calls then: what else there is to compute for the request waits until then.
    """

    @property
    def finish_reason(self) -> FinishReason:
        """Why it ended; to be read after the last token."""
        ...

    def __aiter__(self) -> AsyncIterator[Sequence[Token]]: ...

    async def close(self) -> None:
        """Ends the generation in the engine; may be called again."""
        ...


class AsyncBackend(Protocol):
    """A model behind the guard that serves many streams; it knows no rollback."""

    @property
    def reasoning_format(self) -> ReasoningFormat:
        """How the model marks its chain of thought."""
        ...

    def stream(
        self, prompt: Prompt, kept: TokenTable, sampling: Mapping[str, Any]
    ) -> AsyncTokenStream:
        """Continues `prompt` and the tokens kept after it; `sampling` as in `Backend.stream`."""
        ...

    async def encode(self, text: str, prompt: Prompt, kept: TokenTable) -> list[Token]:
        """`text` as tokens that can follow the kept ones."""
        ...
