"""An engine that says what the request tells it to, for tests of the server: any number of streams,
no state, no model."""

import asyncio
import re
import zlib
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from rerail.guard import FORMATS, Author, FinishReason, Message, Prompt, Token, TokenTable
from rerail.guard.prompt import message_text
from rerail.guard.tokens import TokenLogprob
from rerail.serve.engine_options import NumberOption

_PIECE = re.compile(r"<[^<>\s]{1,20}>|\s?\w{1,6}|\s|.", re.DOTALL)

DEFAULT = "Let me see. This is easy.</think>\n\nThe answer is four."
SAFE = " So I will stay safe.</think>\n\nI can help safely."


def tokens_of(text: str) -> list[Token]:
    return [Token(zlib.crc32(piece.encode()), piece) for piece in _PIECE.findall(text)]


def likelihood(text: str) -> TokenLogprob:
    """What the talker says of its tokens: the longer, the less likely."""
    return TokenLogprob(text, -len(text) / 8, ((text, -len(text) / 8), ("other", -9.5)))


class Talker:
    """`say TEXT` generates TEXT after the opened chain of thought, `repeat N TEXT` does so N times,
    `break TEXT` fails after it; anything else gets `DEFAULT`. After an intervention: `SAFE`."""

    def __init__(self, *, delay_s: float = 0.0) -> None:
        self.reasoning_format = FORMATS["r1"]
        self.delay_s = delay_s
        self.num_open = 0
        self.num_begun = 0

    def stream(self, prompt: Prompt, kept: TokenTable, sampling: Mapping[str, Any]) -> "Speech":
        return Speech(self, prompt.request, kept, sampling)

    async def encode(self, text: str, prompt: Prompt, kept: TokenTable) -> list[Token]:
        return tokens_of(text)


class Speech:
    def __init__(
        self, talker: Talker, request: str, kept: TokenTable, sampling: Mapping[str, Any]
    ) -> None:
        word, _, text = request.partition(" ")
        self._breaks = word == "break"
        if Author.INJECTED in kept.authors:
            text = SAFE
        elif word == "repeat":
            times, _, text = text.partition(" ")
            text = f"{text} " * int(times)
        elif word not in ("say", "break"):
            text = DEFAULT
        tokens = tokens_of(text)
        left = max(0, sampling["max_new_tokens"] - len(kept))
        self.finish_reason = FinishReason.LENGTH if len(tokens) > left else FinishReason.STOP
        if "logprobs" in sampling:
            tokens = [token._replace(logprob=likelihood(token.text)) for token in tokens]
        self._tokens = tokens[:left]
        self._talker = talker
        self._open = True
        talker.num_open += 1
        talker.num_begun += 1

    async def __aiter__(self) -> AsyncIterator[Sequence[Token]]:
        for token in self._tokens:
            await asyncio.sleep(self._talker.delay_s)
            yield (token,)
        if self._breaks:
            raise ConnectionError("the engine quotes: top secret words")

    async def close(self) -> None:
        if self._open:
            self._open = False
            self._talker.num_open -= 1


class TalkerEngine:
    """The engine around a talker; makes its prompts, too."""

    why_no_intervention: str | None = None

    def __init__(self, talker: Talker | None = None, *, max_model_len: int = 2000) -> None:
        self.backend = talker or Talker()
        self.prompts = self
        self.model_names = ("talker", "other-name")
        self.adapters: dict[str, str] = {}
        self.stored_name = "talker@test"
        self.max_model_len = max_model_len
        self.options = {"top_k": NumberOption(-1, 100, whole=True)}
        self.template_options = frozenset({"enable_thinking"})
        self.rendered: list[tuple[Sequence[Message], Sequence[Any], Mapping[str, Any]]] = []
        self.is_ready = True
        self.closed = False

    async def render(
        self,
        messages: Sequence[Message],
        tools: Sequence[Any],
        template_options: Mapping[str, Any],
    ) -> Prompt:
        self.rendered.append((messages, tools, template_options))
        turns = "".join(f"<{each['role']}>{message_text(each)}" for each in messages)
        return await self._prompt(turns + "<assistant><think>\n", tuple(messages))

    async def complete(self, prompt: str | Sequence[int]) -> Prompt:
        text = prompt if isinstance(prompt, str) else " ".join(map(str, prompt))
        if not text.strip():
            raise ValueError("the prompt is empty: give the model something to answer")
        return await self._prompt(text, ({"role": "user", "content": text},))

    async def _prompt(self, text: str, messages: tuple[Message, ...]) -> Prompt:
        ids = await self.tokenize(text)
        return Prompt(messages=messages, text=text, ids=ids, model=self.stored_name)

    async def tokenize(self, text: str) -> tuple[int, ...]:
        return tuple(token.id or 0 for token in tokens_of(text))

    async def ready(self) -> bool:
        return self.is_ready

    async def close(self) -> None:
        self.closed = True
