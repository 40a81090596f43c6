"""What a model has to offer to be guarded by the loop: streams of tokens, and text as tokens."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

from .prompt import Prompt
from .reasoning_format import ReasoningFormat
from .tokens import Token, TokenTable
from .traces import FinishReason


class TokenStream(Protocol):
    """One run of the engine. Iterating gives tokens in the groups in which they come."""

    @property
    def finish_reason(self) -> FinishReason:
        """Why it ended; to be read after the last token."""
        ...

    def __iter__(self) -> Iterator[Sequence[Token]]: ...

    def close(self) -> None:
        """Ends the generation in the engine; may be called again."""
        ...


class Backend(Protocol):
    """A model behind the guard. It knows no rollback: the loop closes a stream and opens another
    on what is kept."""

    @property
    def reasoning_format(self) -> ReasoningFormat:
        """How the model marks its chain of thought."""
        ...

    def stream(self, prompt: Prompt, kept: TokenTable, sampling: Mapping[str, Any]) -> TokenStream:
        """Continues `prompt` and the tokens kept after it.

        `sampling["max_new_tokens"]` counts all kept tokens, so what is left is that minus `kept`.
        """
        ...

    def encode(self, text: str, prompt: Prompt, kept: TokenTable) -> list[Token]:
        """`text` as tokens that can follow the kept ones; decoded there they give `text` again."""
        ...
