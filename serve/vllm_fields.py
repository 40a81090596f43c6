"""Request fields that go to a vLLM engine in this process: those of its sampling parameters that
still mean the same after an intervention. Checked here, so that no request fails half way."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from .engine_options import LOCAL, FlagOption, LogitBiasOption, NumberOption, Option

_MAX_ENTRIES = 1000


@dataclass(frozen=True, slots=True)
class TokenIdsOption:
    """A list of token ids."""

    vocabulary_size: int

    def read(self, value: Any) -> list[int]:
        if not isinstance(value, list) or not 0 < len(value) <= _MAX_ENTRIES:
            raise ValueError(f"give a list of 1 to {_MAX_ENTRIES} token ids")
        for each in value:
            whole = isinstance(each, int) and not isinstance(each, bool)
            if not whole or not 0 <= each < self.vocabulary_size:
                raise ValueError(f"{str(each)[:20]} is no token id of this model")
        return value


@dataclass(frozen=True, slots=True)
class WordsOption:
    """A list of texts, none of them empty."""

    def read(self, value: Any) -> list[str]:
        wrong = not isinstance(value, list) or not 0 < len(value) <= _MAX_ENTRIES
        if wrong or not all(isinstance(each, str) and each.strip() for each in value):
            raise ValueError(f"give a list of 1 to {_MAX_ENTRIES} texts")
        return value


@dataclass(frozen=True, slots=True)
class FormOption:
    """What an answer has to look like; the engine itself says whether it can hold it to that."""

    name: str
    check: Callable[[Mapping[str, Any]], None]

    def read(self, value: Any) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise ValueError("give an object")
        self.check({self.name: value})
        return value


def vllm_fields(
    vocabulary_size: int, check: Callable[[Mapping[str, Any]], None]
) -> Mapping[str, Option]:
    """Beside temperature, top_p, seed, stop and the lengths, which every engine takes.

    `check` is the backend's.
    """
    forms = ("response_format", "structured_outputs")
    return {
        **{name: FormOption(name, check) for name in forms},
        **LOCAL,
        "logit_bias": LogitBiasOption(vocabulary_size),
        "min_tokens": NumberOption(0, 2**31 - 1, whole=True),
        "ignore_eos": FlagOption(),
        "stop_token_ids": TokenIdsOption(vocabulary_size),
        "allowed_token_ids": TokenIdsOption(vocabulary_size),
        "bad_words": WordsOption(),
    }
