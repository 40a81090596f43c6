"""API keys: kept as hashes, compared in constant time, each with its own limits and trust."""

import hashlib
import hmac
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

MIN_KEY_CHARS = 16
"""Shorter ones can be guessed."""

_HASH = re.compile(r"sha256:([0-9a-f]{64})\Z")
_NAME = re.compile(r"[\w.@-]{1,64}\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who asks."""

    name: str
    """For logs and metrics; never the key."""

    trusted: bool = False
    """May use the request's `rerail` field."""

    requests_per_minute: float | None = None
    """The server's own limit where `None`."""

    max_concurrent: int | None = None
    """The same for generations at a time."""


@dataclass(frozen=True, slots=True)
class ApiKey:
    """One key; only its SHA-256 is kept."""

    digest: bytes
    caller: Caller


def digest_of(key: str) -> bytes:
    """Keys are long and random, so a plain hash of them cannot be reversed by guessing."""
    return hashlib.sha256(key.encode()).digest()


class ApiKeys:
    """The keys of a server. Without any, everybody is anonymous."""

    def __init__(self, keys: Iterable[ApiKey] = (), *, anonymous_trusted: bool = False) -> None:
        """Raises `ValueError` for two keys of the same name."""
        self._keys = tuple(keys)
        self.anonymous = Caller(name="anonymous", trusted=anonymous_trusted)
        names = [key.caller.name for key in self._keys]
        twice = {name for name in names if names.count(name) > 1}
        if twice:
            raise ValueError(f"two API keys are called {min(twice)!r}: give each its own name")

    def __len__(self) -> int:
        return len(self._keys)

    def find(self, key: str | None) -> Caller | None:
        """Who has this key; `None` for a wrong or missing one. Every key is compared, in constant
        time, so that how long it takes says nothing."""
        if not self._keys:
            return self.anonymous
        if key is None:
            return None
        digest = digest_of(key)
        found: Caller | None = None
        for each in self._keys:
            if hmac.compare_digest(each.digest, digest):
                found = each.caller
        return found


def keys_from_values(values: Sequence[str], source: str, *, trusted: bool = False) -> list[ApiKey]:
    """Keys given as they are, or as `sha256:...`; named after their source and number."""
    names = [source if len(values) == 1 else f"{source}-{n}" for n in range(1, len(values) + 1)]
    return [
        ApiKey(_digest(value, f"key {number} from {source}"), Caller(name=name, trusted=trusted))
        for number, (name, value) in enumerate(zip(names, values, strict=True), 1)
    ]


def keys_from_file(path: Path, *, trusted: bool = False) -> list[ApiKey]:
    """One key a line: `NAME KEY [trusted] [requests_per_minute=N] [max_concurrent=N]`.

    The key stands there as it is, or as `sha256:` and its hash in hexadecimal. Empty lines and
    those that begin with # are skipped. Raises `ValueError` naming the line, never the key.
    """
    keys: list[ApiKey] = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        where = f"{path}, line {number}"
        if len(words) < 2 or not _NAME.match(words[0]):
            raise ValueError(f"{where}: give NAME KEY, then options")
        caller = _caller(words[0], words[2:], where, trusted=trusted)
        keys.append(ApiKey(_digest(words[1], where), caller))
    if not keys:
        raise ValueError(f"{path} holds no API key: give NAME KEY, one a line")
    return keys


def _caller(name: str, options: Sequence[str], where: str, *, trusted: bool) -> Caller:
    limits: dict[str, int] = {}
    for position, option in enumerate(options, 3):
        word, _, value = option.partition("=")
        if option == "trusted":
            trusted = True
        elif word in ("requests_per_minute", "max_concurrent") and value.isdigit() and int(value):
            limits[word] = int(value)
        else:
            # Not quoted: it may be the rest of a key with a blank in it.
            raise ValueError(
                f"{where}: word {position} is no option; use trusted, requests_per_minute=N or "
                "max_concurrent=N"
            )
    return Caller(
        name=name,
        trusted=trusted,
        requests_per_minute=limits.get("requests_per_minute"),
        max_concurrent=limits.get("max_concurrent"),
    )


def _digest(value: str, where: str) -> bytes:
    hashed = _HASH.match(value)
    if hashed:
        return bytes.fromhex(hashed[1])
    if value.startswith("sha256:"):
        raise ValueError(f"{where}: sha256: is to be followed by 64 hexadecimal digits")
    if len(value) < MIN_KEY_CHARS:
        raise ValueError(f"{where}: the key is shorter than {MIN_KEY_CHARS} characters")
    return digest_of(value)
