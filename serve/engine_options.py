"""Request fields that go to an engine: which there are, and what they may hold."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol


class Option(Protocol):
    """A request field that goes to the engine."""

    def read(self, value: Any) -> Any:
        """The value for `sampling`; plain data, since it is stored with the trace. Raises
        `ValueError` with what to give instead."""
        ...


@dataclass(frozen=True, slots=True)
class NumberOption:
    """A number within a range."""

    minimum: float
    maximum: float
    whole: bool = False

    def read(self, value: Any) -> float:
        kinds = int if self.whole else (int, float)
        wrong = isinstance(value, bool) or not isinstance(value, kinds)
        if wrong or not self.minimum <= value <= self.maximum:
            kind = "whole number" if self.whole else "number"
            raise ValueError(f"give a {kind} from {self.minimum:g} to {self.maximum:g}")
        return value


@dataclass(frozen=True, slots=True)
class LogitBiasOption:
    """OpenAI's `logit_bias`: token ids, as text, and what is added to their logits."""

    vocabulary_size: int

    def read(self, value: Any) -> dict[str, float]:
        bias = NumberOption(-100.0, 100.0)
        if not isinstance(value, dict) or len(value) > 1000:
            raise ValueError("give an object of at most 1000 token ids and numbers")
        for token_id in value:
            if not token_id.isdecimal() or int(token_id) >= self.vocabulary_size:
                raise ValueError(f"{token_id[:20]!r} is no token id of this model")
        return {token_id: bias.read(each) for token_id, each in value.items()}


@dataclass(frozen=True, slots=True)
class FlagOption:
    """True or false."""

    def read(self, value: Any) -> bool:
        if not isinstance(value, bool):
            raise ValueError("give true or false")
        return value


OPENAI: Mapping[str, Option] = {
    "logprobs": NumberOption(0, 20, whole=True),
    "presence_penalty": NumberOption(-2.0, 2.0),
    "frequency_penalty": NumberOption(-2.0, 2.0),
}
"""What OpenAI's own API has beside temperature, top_p, seed, stop and the lengths, and
`logit_bias`, for which a vocabulary has to be known."""

WIDESPREAD: Mapping[str, Option] = {
    **OPENAI,
    "top_k": NumberOption(-1, 1_000_000, whole=True),
    "min_p": NumberOption(0.0, 1.0),
}
"""What most servers of open models take, too."""

LOCAL: Mapping[str, Option] = {**WIDESPREAD, "repetition_penalty": NumberOption(0.1, 10.0)}
"""What the engines in this process and vLLM's server take."""
