"""A model that says what it is told to: for tests, for benchmarks, and to try a policy out.

It streams one scripted continuation after another: the first for the prompt, the next after every
rollback, the last again and again. It records every context that it was asked to continue.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from .prompt import Prompt
from .reasoning_format import FORMATS, ReasoningFormat
from .tokens import Token, TokenTable
from .traces import FinishReason

_PSEUDO_TOKEN = re.compile(r"<[^<>\s]{1,20}>|\s?\w{1,6}|\s|.", re.DOTALL)


class ScriptedBackend:
    """Streams `continuations`, given as texts or as lists of tokens."""

    def __init__(
        self,
        continuations: Sequence[str | Sequence[Token]],
        *,
        reasoning_format: ReasoningFormat | None = None,
        group: int = 1,
    ) -> None:
        if not continuations:
            raise ValueError("a scripted backend needs at least one continuation")
        self.reasoning_format = reasoning_format or FORMATS["r1"]
        self.contexts: list[tuple[str, tuple[int, ...]]] = []
        """Text and ids after the prompt of every context continued so far."""
        self._ids: dict[str, int] = {}
        self._group = group
        self._continuations = [
            self._tokens(each) if isinstance(each, str) else list(each) for each in continuations
        ]

    def stream(
        self, prompt: Prompt, kept: TokenTable, sampling: Mapping[str, Any]
    ) -> "ScriptedStream":
        """The next continuation, the last one again where there are no more; `sampling` as in
        `Backend.stream`."""
        turn = min(len(self.contexts), len(self._continuations) - 1)
        self.contexts.append((kept.text, kept.known_ids()))
        left = sampling.get("max_new_tokens", 1 << 30) - len(kept)
        return ScriptedStream(self._continuations[turn], self._group, max(0, left))

    def encode(self, text: str, prompt: Prompt, kept: TokenTable) -> list[Token]:
        """Words and marks as pseudo-tokens, each with an id of its own."""
        return self._tokens(text)

    def prompt(self, request: str) -> Prompt:
        """A prompt whose template has opened the chain of thought, as R1's does."""
        text = f"<user>{request}<assistant>{self.reasoning_format.open_reasoning}"
        ids = tuple(token.id or 0 for token in self._tokens(text))
        messages = ({"role": "user", "content": request},)
        return Prompt(messages=messages, text=text, ids=ids, model="scripted")

    def _tokens(self, text: str) -> list[Token]:
        return [
            Token(self._ids.setdefault(piece, len(self._ids)), piece)
            for piece in _PSEUDO_TOKEN.findall(text)
        ]


class ScriptedStream:
    """One run of a script, in groups of `group` tokens and at most `limit` of them."""

    def __init__(self, tokens: Sequence[Token], group: int, limit: int) -> None:
        self._tokens = tokens[:limit]
        self._group = group
        self._open = True
        self.finish_reason = FinishReason.LENGTH if len(tokens) > limit else FinishReason.STOP

    def __iter__(self) -> Iterator[Sequence[Token]]:
        for start in range(0, len(self._tokens), self._group):
            if not self._open:
                return
            yield self._tokens[start : start + self._group]

    def close(self) -> None:
        """Nothing more comes."""
        self._open = False
