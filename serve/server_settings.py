"""How the server behaves: one dataclass, from which the command's flags are derived."""

import ipaddress
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Literal

from cyclopts import Parameter

from .trace_writer import WhenUnstored


class Trust(StrEnum):
    """Who may use the request's `rerail` field, which can loosen the guard and tells its scores."""

    MARKED = "marked"
    """Keys that the key file marks as trusted."""

    KEYS = "keys"
    """Everybody with a key."""

    ALL = "all"
    """Everybody, without a key as well."""


@Parameter(name="*")
@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSettings:
    """Settings of one server; checked when made. Wrong values raise `ValueError`."""

    host: str = "127.0.0.1"
    """Address to listen at. Anything but a loopback address needs an API key."""

    port: int = 8000
    """Port to listen at; 0 takes a free one."""

    served_model_name: tuple[str, ...] = ()
    """What requests call the model; by default what it was called here."""

    api_key: tuple[str, ...] = field(default=(), repr=False)
    """A key that requests must have; may be given several times. Other users of this machine can
    read it: prefer --api-key-file, or RERAIL_API_KEYS in the environment (separated by commas)."""

    api_key_file: Path | None = None
    """A file of keys: NAME KEY [trusted] [requests_per_minute=N] [max_concurrent=N] a line; KEY may
    be sha256: and its hash."""

    trust: Trust = Trust.MARKED
    """Who may use the field `rerail` of a request: keys marked in the key file, all keys, or all.
    It sets the policy of the request and reports what happened."""

    max_model_len: int | None = None
    """Tokens of prompt and answer together; by default what the model's context holds."""

    max_body_bytes: int = 4 << 20
    """Longest body of a request."""

    max_choices: int = 16
    """Choices (n) of one request at most."""

    max_concurrent: int = 1024
    """Generations at a time; more are refused with 503."""

    max_concurrent_per_key: int | None = None
    """Generations at a time with one key; more are refused with 429."""

    requests_per_minute: float | None = None
    """Requests with one key; more are refused with 429."""

    reasoning_field: Literal["reasoning_content", "reasoning"] = "reasoning_content"
    """What answers call the chain of thought."""

    cors_origin: tuple[str, ...] = ()
    """A web origin whose pages may send requests; none by default."""

    public_metrics: bool = False
    """Show /metrics without a key."""

    drain_s: float = 30.0
    """On SIGTERM: seconds that running generations get before they are ended."""

    client_timeout_s: float = 60.0
    """Seconds after which a client that takes nothing of its stream is given up."""

    store_buffer: int = 1000
    """Traces that may wait while the store cannot be reached."""

    when_unstored: WhenUnstored = WhenUnstored.REFUSE
    """When that many wait: refuse new requests, or go on and lose traces."""

    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """How much is logged, as JSON lines on stderr; never any text of requests or answers."""

    def __post_init__(self) -> None:
        at_least_one = ("max_body_bytes", "max_choices", "max_concurrent", "store_buffer")
        optional = ("max_model_len", "max_concurrent_per_key", "requests_per_minute")
        for name in (*at_least_one, *optional):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"--{name.replace('_', '-')} is {value}: give at least 1")
        if not 0 <= self.port <= 65535:
            raise ValueError(f"--port is {self.port}: give a number from 0 to 65535")
        if self.drain_s < 0 or self.client_timeout_s <= 0:
            raise ValueError("--drain-s and --client-timeout-s are seconds: give more than 0")
        if self.max_choices > self.max_concurrent:
            raise ValueError("--max-choices may not be above --max-concurrent")
        for origin in self.cors_origin:
            if origin == "*" or not origin.startswith(("http://", "https://")):
                raise ValueError(
                    f"--cors-origin is {origin!r}: name an origin, such as https://example.org"
                )

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach the server."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False
