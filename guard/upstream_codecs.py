"""Tokens of an upstream: what its chunks say, and how text is put into its model's mouth.

Three ways, for three kinds of upstream: ids read with a tokenizer at hand, ids that the upstream
itself tokenizes, and text alone.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from .detokenizer import Detokenizer, Vocabulary
from .prompt import Prompt
from .tokens import Token, TokenLogprob, TokenTable
from .upstream_client import UpstreamClient
from .upstream_errors import UpstreamError, UpstreamFault

_ANCHORS = ("\n", ".", "a")
"""Put before text so that a tokenizer does not take it for the beginning, and taken off again."""

_NUM_TAIL_IDS = 16


class ChunkReader(Protocol):
    """One run's chunks on their way to tokens."""

    def tokens(self, choice: Mapping[str, Any]) -> list[Token]:
        """The tokens of a chunk's choice. Raises `UpstreamError` for what is none."""
        ...


class TokenCodec(Protocol):
    """How one upstream is spoken to."""

    @property
    def fields(self) -> Mapping[str, Any]:
        """What every request has to say so that the answer can be read."""
        ...

    def context(self, prompt: Prompt, kept: TokenTable) -> str | list[int]:
        """What the model is to continue."""
        ...

    def reader(self, prompt: Prompt, kept: TokenTable) -> ChunkReader:
        """What reads the chunks of a run that goes on after the kept tokens."""
        ...

    async def encode(self, text: str, prompt: Prompt, kept: TokenTable) -> list[Token]:
        """`text` as tokens to follow the kept ones."""
        ...


_ID_FIELDS: Mapping[str, Any] = {
    "return_token_ids": True,
    "add_special_tokens": False,
    "skip_special_tokens": False,
    "spaces_between_special_tokens": False,
}


class VocabularyCodec:
    """Ids in and out, and a tokenizer at hand: every token has exactly its own text."""

    fields = _ID_FIELDS

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary

    def context(self, prompt: Prompt, kept: TokenTable) -> list[int]:
        """Ids."""
        return [*prompt.ids, *kept.known_ids()]

    def reader(self, prompt: Prompt, kept: TokenTable) -> ChunkReader:
        """Each id is a token."""
        return _VocabularyReader(self._vocabulary.stream(prompt.ids + kept.known_ids()))

    async def encode(self, text: str, prompt: Prompt, kept: TokenTable) -> list[Token]:
        """By the tokenizer at hand."""
        return self._vocabulary.encode(text, prompt.ids + kept.known_ids())


class ServerCodec:
    """Ids in and out; the upstream tokenizes (`/tokenize`, `/detokenize`).

    Where a chunk holds several ids, its text belongs to the last of them, so rollbacks land between
    chunks. Injected text is checked in its place: what the upstream reads there is what the trace
    says.
    """

    fields = _ID_FIELDS

    def __init__(self, client: UpstreamClient, model: str) -> None:
        self._client = client
        self._model = model

    def context(self, prompt: Prompt, kept: TokenTable) -> list[int]:
        """Ids."""
        return [*prompt.ids, *kept.known_ids()]

    def reader(self, prompt: Prompt, kept: TokenTable) -> ChunkReader:
        """Each id is a token; a chunk's text is at its last."""
        return _ServedReader()

    async def encode(self, text: str, prompt: Prompt, kept: TokenTable) -> list[Token]:
        """By `/tokenize`, checked by `/detokenize`; raises UpstreamError."""
        if not text:
            return []
        tail = (prompt.ids + kept.known_ids())[-_NUM_TAIL_IDS:]
        before = await self.text_of(tail)
        plain = await self.ids_of(text)
        ids, read = plain, await self._read(tail, plain, before, text)
        for anchor in _ANCHORS:
            if read == text:
                break
            alone, together = await self.ids_of(anchor), await self.ids_of(anchor + text)
            if together[: len(alone)] == alone:
                tried = together[len(alone) :]
                if await self._read(tail, tried, before, text) == text:
                    ids, read = tried, text
        return spread(ids, read)

    async def ids_of(self, text: str) -> list[int]:
        """The ids of a text as it stands."""
        body = {"model": self._model, "prompt": text, "add_special_tokens": False}
        return token_ids(await self._client.post("/tokenize", body), "tokens")

    async def text_of(self, ids: Sequence[int]) -> str:
        """The text of ids, special tokens and all."""
        body = {"model": self._model, "tokens": list(ids)}
        answer = await self._client.post("/detokenize", body)
        text = answer.get("prompt") if isinstance(answer, dict) else None
        if not isinstance(text, str):
            raise malformed("/detokenize gave no text")
        return text

    async def _read(self, tail: Sequence[int], ids: Sequence[int], before: str, text: str) -> str:
        """What `ids` say after `tail`."""
        after = await self.text_of([*tail, *ids])
        return after[len(before) :] if after.startswith(before) else text


class TextCodec:
    """Text in and out; a token is whatever the upstream sends at a time."""

    def __init__(self, fields: Mapping[str, Any] | None = None) -> None:
        """`fields` go along with every request."""
        self.fields = fields or {}

    def context(self, prompt: Prompt, kept: TokenTable) -> str:
        """Text."""
        return prompt.text + kept.text

    def reader(self, prompt: Prompt, kept: TokenTable) -> ChunkReader:
        """Each chunk is a token without an id."""
        return _TextReader()

    async def encode(self, text: str, prompt: Prompt, kept: TokenTable) -> list[Token]:
        """All of it as one token without an id."""
        return [Token(None, text)] if text else []


class _VocabularyReader:
    def __init__(self, detokenizer: Detokenizer) -> None:
        self._detokenizer = detokenizer

    def tokens(self, choice: Mapping[str, Any]) -> list[Token]:
        tokens = [self._detokenizer.token(each) for each in token_ids(choice, "token_ids")]
        return _with_logprobs(tokens, choice)


class _ServedReader:
    def tokens(self, choice: Mapping[str, Any]) -> list[Token]:
        tokens = spread(token_ids(choice, "token_ids"), _text(choice))
        return _with_logprobs(tokens, choice)


class _TextReader:
    def tokens(self, choice: Mapping[str, Any]) -> list[Token]:
        text = _text(choice)
        tokens = [Token(None, text)] if text else []
        found = logprobs_of(choice)
        if found and "".join(each.token for each in found) == text:
            return [Token(None, each.token, True, each) for each in found]
        return tokens


def spread(ids: Sequence[int], text: str) -> list[Token]:
    """Ids whose text is known as a whole only: it is the last one's."""
    inner = [Token(each, "", False) for each in ids[:-1]]
    return [*inner, *(Token(each, text, bool(text)) for each in ids[-1:])]


def token_ids(record: Any, name: str) -> list[int]:
    """A list of ids. Raises `UpstreamError` where there is none."""
    ids = record.get(name) if isinstance(record, Mapping) else None
    if not isinstance(ids, list) or not all(type(each) is int and each >= 0 for each in ids):
        raise malformed(f"{name} holds no token ids")
    return ids


def logprobs_of(choice: Mapping[str, Any]) -> list[TokenLogprob]:
    """The log probabilities of a chunk's tokens, as `/v1/completions` gives them; may be none."""
    record = choice.get("logprobs")
    if not isinstance(record, Mapping):
        return []
    tokens, values = record.get("tokens") or [], record.get("token_logprobs") or []
    try:
        tops = record.get("top_logprobs") or [None] * len(tokens)
        return [
            TokenLogprob(str(token), float(value), _sorted(top or {}))
            for token, value, top in zip(tokens, values, tops, strict=True)
        ]
    except (ArithmeticError, AttributeError, TypeError, ValueError):
        raise malformed("logprobs are not of the API's shape") from None


def _sorted(top: Mapping[str, float]) -> tuple[tuple[str, float], ...]:
    pairs = ((str(token), float(value)) for token, value in top.items())
    return tuple(sorted(pairs, key=lambda pair: -pair[1]))


def _with_logprobs(tokens: list[Token], choice: Mapping[str, Any]) -> list[Token]:
    found = logprobs_of(choice)
    if len(found) != len(tokens):
        return tokens
    return [token._replace(logprob=each) for token, each in zip(tokens, found, strict=True)]


def _text(choice: Mapping[str, Any]) -> str:
    text = choice.get("text")
    if not isinstance(text, str):
        raise malformed("a chunk has no text")
    return text


def malformed(what: str) -> UpstreamError:
    """The error for an answer that is not as it should be; `what` says what is wrong with it."""
    return UpstreamError(
        UpstreamFault.MALFORMED, f"the upstream answers in another form than expected: {what}"
    )
