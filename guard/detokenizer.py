"""Token ids as text, one at a time, and text as token ids that continue what is already there.

The usual decoders (byte-level, byte fallback, metaspace) come down to a table from id to bytes, so
a token costs a look-up, and a stream that goes back to an earlier token needs to know nothing of
what came before. Other decoders are read with the tokenizers library's own stream.
"""

import json
import re
from codecs import utf_8_decode
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Protocol

from tokenizers import Tokenizer
from tokenizers.decoders import DecodeStream

from .tokens import Token

_BYTE_TOKEN = re.compile(r"<0x([0-9A-Fa-f]{2})>\Z")
_WORD = re.compile(r"\s*\S+|\s+")
_ANCHORS = ("\n", ".", "a")
"""Put before text so that a tokenizer does not take it for the beginning, and taken off again."""

_NUM_PRIMING_TOKENS = 8


def _byte_letters() -> dict[str, int]:
    """The letters by which byte-level vocabularies write bytes (as GPT-2 introduced them)."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    letters = {chr(byte): byte for byte in printable}
    others = (byte for byte in range(0x100) if byte not in set(printable))
    return letters | {chr(0x100 + number): byte for number, byte in enumerate(others)}


_BYTE_LETTERS = _byte_letters()
_LETTER_OF = {byte: letter for letter, byte in _BYTE_LETTERS.items()}


class Detokenizer(Protocol):
    """One stream of ids on its way to text."""

    def token(self, token_id: int) -> Token:
        """The next id with the text that it completes; not clean inside a character."""
        ...


class Vocabulary:
    """A tokenizer's vocabulary as text; shared by all streams."""

    def __init__(self, tokenizer: Tokenizer, silent_ids: Iterable[int] = ()) -> None:
        """`silent_ids` have no text: end of sequence, padding."""
        self._tokenizer = tokenizer
        self._silent = frozenset(silent_ids)
        added = tokenizer.get_added_tokens_decoder()
        self._added = {token_id: token.content for token_id, token in added.items()}
        self._to_bytes = _byte_reader(tokenizer.decoder)
        self._bytes: dict[int, bytes] = {}
        self.whole: dict[int, Token] = {}
        """Tokens met so far whose bytes are whole characters."""

    def stream(self, kept_ids: Sequence[int] = ()) -> Detokenizer:
        """Reads the ids that follow `kept_ids`, which end with a whole character."""
        if self._to_bytes is not None:
            return _TableDetokenizer(self)
        return _StreamDetokenizer(self._tokenizer, kept_ids[-_NUM_PRIMING_TOKENS:], self._silent)

    def bytes_of(self, token_id: int) -> bytes:
        """What a token stands for in the middle of a text; empty for ids of no token."""
        known = self._bytes.get(token_id)
        if known is not None:
            return known
        assert self._to_bytes is not None
        if token_id in self._silent:
            found = b""
        elif token_id in self._added:
            found = self._added[token_id].encode()
        else:
            token = self._tokenizer.id_to_token(token_id)
            found = b"" if token is None else self._to_bytes(token)
        self._bytes[token_id] = found
        return found

    def encode(self, text: str, kept_ids: Sequence[int] = ()) -> list[Token]:
        """`text` as tokens to follow `kept_ids`: decoded there, they give `text` again.

        What a tokenizer does to the beginning of a text (a blank put before it) and to its spelling
        (normalisation) is undone where that can be done. A character that the vocabulary cannot
        write at all is left out.
        """
        ids = self._encode_exactly(text) if self._to_bytes is not None else self._plain(text)
        stream = self.stream(kept_ids)
        return [stream.token(token_id) for token_id in ids]

    def _encode_exactly(self, text: str) -> list[int]:
        whole = self._first_exact(text)
        if whole is not None:
            return whole
        ids: list[int] = []
        for word in _WORD.findall(text):
            exact = self._first_exact(word)
            ids.extend(self._spelled(word) if exact is None else exact)
        return ids

    def _first_exact(self, text: str) -> list[int] | None:
        wanted = text.encode()
        for ids in self._attempts(text):
            written = b"".join(map(self.bytes_of, ids))
            while len(written) > len(wanted):  # an anchor, and a blank put before it
                written = written[len(self.bytes_of(ids.pop(0))) :]
            if written == wanted:
                return ids
        return None

    def _attempts(self, text: str) -> Iterator[list[int]]:
        if not text:
            yield []
            return
        yield self._plain(text)
        if text[0] == " ":
            yield self._plain(text[1:])
        for anchor in _ANCHORS:
            yield self._plain(anchor + text)

    def _plain(self, text: str) -> list[int]:
        encoding = self._tokenizer.encode(text, add_special_tokens=False)
        # The tokenizer may have been left set to pad or to cut off.
        parts = [encoding, *encoding.overflowing]
        return [
            token_id
            for part in parts
            for token_id, real in zip(part.ids, part.attention_mask, strict=True)
            if real
        ]

    def _spelled(self, text: str) -> Iterator[int]:
        """Character by character, by bytes where there is no token for a character."""
        for character in text:
            written = character.encode()
            for name in (character, character.replace(" ", "▁")):
                token_id = self._tokenizer.token_to_id(name)
                if token_id is not None and self.bytes_of(token_id) == written:
                    yield token_id
                    break
            else:
                yield from self._bytewise(written)

    def _bytewise(self, written: bytes) -> list[int]:
        ids: list[int] = []
        for byte in written:
            for name in (_LETTER_OF[byte], f"<0x{byte:02X}>"):
                token_id = self._tokenizer.token_to_id(name)
                if token_id is not None and self.bytes_of(token_id) == bytes([byte]):
                    ids.append(token_id)
                    break
            else:
                return []
        return ids


class _TableDetokenizer:
    """Looks bytes up, and keeps those of a character that is not whole yet."""

    __slots__ = ("_pending", "_vocabulary", "_whole")

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary
        self._whole = vocabulary.whole
        self._pending = b""

    def token(self, token_id: int) -> Token:
        if not self._pending:
            known = self._whole.get(token_id)
            if known is not None:
                return known
        data = self._pending + self._vocabulary.bytes_of(token_id)
        text, used = utf_8_decode(data, "replace", False)
        token = Token(token_id, text, used == len(data))
        if token.clean and not self._pending:
            self._whole[token_id] = token
        self._pending = data[used:]
        return token


class _StreamDetokenizer:
    """The tokenizers library's stream, for decoders that are no table."""

    def __init__(
        self, tokenizer: Tokenizer, before: Sequence[int], silent_ids: frozenset[int]
    ) -> None:
        self._tokenizer = tokenizer
        self._silent = silent_ids
        self._stream = DecodeStream(list(before), skip_special_tokens=False)

    def token(self, token_id: int) -> Token:
        if token_id in self._silent:
            return Token(token_id, "")
        text = self._stream.step(self._tokenizer, token_id)
        return Token(token_id, text or "", text is not None)


def _byte_reader(decoder: Any) -> Callable[[str], bytes] | None:
    """How this decoder turns one token into bytes; None if it is not that simple."""
    if decoder is None:
        return None
    steps = _steps(json.loads(decoder.__getstate__()))
    kinds = {step["type"] for step in steps}
    if "ByteLevel" in kinds and kinds <= {"ByteLevel", "Fuse"}:
        return _from_letters
    if not kinds or not kinds <= {"Metaspace", "Replace", "ByteFallback", "Fuse", "Strip"}:
        return None
    replaced: list[tuple[str, str]] = []
    for step in steps:
        if step["type"] == "Metaspace":
            replaced.append((step["replacement"], " "))
        elif step["type"] == "Replace":
            if "String" not in step["pattern"]:
                return None
            replaced.append((step["pattern"]["String"], step["content"]))
        elif step["type"] == "Strip" and (step["stop"] or "Fuse" not in kinds):
            return None  # at the start of the whole text, stripping does not concern us
    has_bytes = "ByteFallback" in kinds

    def read(token: str) -> bytes:
        if has_bytes and (byte := _BYTE_TOKEN.match(token)):
            return bytes([int(byte[1], 16)])
        for old, new in replaced:
            token = token.replace(old, new)
        return token.encode()

    return read


def _steps(decoder: dict[str, Any]) -> list[dict[str, Any]]:
    if decoder["type"] == "Sequence":
        return [step for each in decoder["decoders"] for step in _steps(each)]
    return [decoder]


def _from_letters(token: str) -> bytes:
    letters = [_BYTE_LETTERS.get(letter) for letter in token]
    known = [byte for byte in letters if byte is not None]
    return bytes(known) if len(known) == len(letters) else token.encode()
