"""Options that several commands share."""

import os
import re
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

if TYPE_CHECKING:
    from ..guard.store import Store
    from ..guard.store_recorder import Recorder

_AGO = re.compile(r"(\d+)([smhdw])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def default_store() -> str:
    """Where traces are kept unless another place is named."""
    from ..guard.store_location import default_store_path

    return str(default_store_path(os.environ))


def upstream_api_key() -> str | None:
    """The key that an upstream asks for: from the environment only, where others cannot read it."""
    return os.environ.get("RERAIL_UPSTREAM_API_KEY") or None


@Parameter(name="*")
@dataclass(frozen=True, slots=True, kw_only=True)
class StorePlace:
    """Which store is meant."""

    store: str | None = None
    """A SQLite file or a postgresql:// URL; by default rerail/rerail.db in $XDG_DATA_HOME
    (~/.local/share)."""

    def open(self, *, read_only: bool = False) -> "Store":
        """Raises `StoreError` in a sentence if that cannot be."""
        from ..guard.store import Store

        return Store(self.store or default_store(), read_only=read_only)


@Parameter(name="*")
@dataclass(frozen=True, slots=True, kw_only=True)
class Storing(StorePlace):
    """Where what happened is kept, and whether."""

    no_store: bool = False
    """Keep nothing."""

    redact: bool = False
    """Keep no text and no token ids, so no pairs either: only numbers, verdicts and triggers."""

    def __post_init__(self) -> None:
        if self.no_store and (self.redact or self.store is not None):
            raise ValueError("--no-store leaves nothing to --store or --redact: drop one of them")

    @contextmanager
    def recorder(self) -> Generator[tuple["Recorder", "Store | None"]]:
        """The recorder and its store, open while the context lasts.

        Raises `StoreError` for a store that cannot be opened: better before than after the
        generation. What fails later is said and never stops it.
        """
        from ..guard.store_recorder import Recorder

        if self.no_store:
            yield Recorder(None, "off"), None
            return
        with self.open() as store:
            yield Recorder(store, "redacted" if self.redact else "full"), store


@Parameter(name="*")
@dataclass(frozen=True, slots=True, kw_only=True)
class ModelLoading:
    """How a model in this process is loaded."""

    device: str | None = None
    """Such as `cpu` or `cuda`; by default where the model library puts it."""

    dtype: str | None = None
    """Such as `bfloat16`; by default the one that the model was saved in."""

    trust_remote_code: bool = False
    """Run code that comes with the model. Only for models that you trust like a program."""

    def arguments(self) -> dict[str, Any]:
        """As transformers and vLLM call them alike; without the device."""
        given: dict[str, Any] = {}
        if self.dtype is not None:
            given["dtype"] = self.dtype
        if self.trust_remote_code:
            given["trust_remote_code"] = True
        return given


@Parameter(name="*")
@dataclass(frozen=True, slots=True, kw_only=True)
class ModelChoice:
    """Which model writes."""

    model: str = "sandbox"
    """A model's folder or its name on the Hugging Face hub; `sandbox` is the small one that comes
    with rerail. `run` and `serve` take the address of an OpenAI-compatible server, too."""

    loading: ModelLoading = ModelLoading()

    @property
    def is_sandbox(self) -> bool:
        """Whether it is the model that comes with rerail."""
        return self.model == "sandbox"


@Parameter(name="*")
@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """How tokens are drawn."""

    max_new_tokens: int | None = None
    """Tokens to generate at most, chain of thought and triggers included; by default the model's
    own setting, else 4096, as far as its context reaches."""

    temperature: float | None = None
    """0 takes the likeliest token each time; by default the model's own setting."""

    top_p: float | None = None
    """Nucleus sampling; by default the model's own setting."""

    top_k: int | None = None
    """Draw from the k likeliest tokens; by default the model's own setting."""

    def __post_init__(self) -> None:
        if self.max_new_tokens is not None and self.max_new_tokens < 1:
            raise ValueError(f"--max-new-tokens is {self.max_new_tokens}: give at least 1")
        if self.temperature is not None and self.temperature < 0:
            raise ValueError(f"--temperature is {self.temperature}: give 0 or more")
        if self.top_p is not None and not 0 < self.top_p <= 1:
            raise ValueError(f"--top-p is {self.top_p}: give a number above 0, up to 1")
        if self.top_k is not None and self.top_k < 1:
            raise ValueError(f"--top-k is {self.top_k}: give at least 1")

    def generate_options(self) -> dict[str, Any]:
        """As `model.generate` takes them."""
        options = self._given(max_new_tokens=self.max_new_tokens)
        if self.temperature == 0:
            return options | {"do_sample": False}
        drawn = self._given(temperature=self.temperature, top_p=self.top_p, top_k=self.top_k)
        return options | ({"do_sample": True} | drawn if drawn else {})

    def request_options(self) -> dict[str, Any]:
        """As vLLM and an upstream's API take them, but for the name of the length."""
        return self._given(
            max_new_tokens=self.max_new_tokens,
            temperature=self.temperature,
            top_p=self.top_p,
            top_k=self.top_k,
        )

    @staticmethod
    def _given(**options: Any) -> dict[str, Any]:
        return {name: value for name, value in options.items() if value is not None}


def moment(_: Any, tokens: Sequence[Any]) -> datetime:
    """A time from the command line: a date or time (local unless it says so), or an age: `7d`."""
    text = tokens[0].value
    age = _AGO.fullmatch(text)
    if age:
        return datetime.now(UTC) - timedelta(**{_UNITS[age[2]]: int(age[1])})
    try:
        return datetime.fromisoformat(text).astimezone()
    except (ValueError, OverflowError):
        raise ValueError("give a date (2026-01-31), a time with it, or an age (90m, 7d)") from None


Moment = Annotated[datetime | None, Parameter(converter=moment)]
"""A time option."""


def check_output(out: Path) -> None:
    """Raises `OSError` if `out` cannot become a file: better before the work than after it."""
    if out.is_dir():
        raise IsADirectoryError(21, "is a folder: name a file", str(out))
    if not out.parent.is_dir():
        raise FileNotFoundError(2, "there is no such folder", str(out.parent))
