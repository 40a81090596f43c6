"""How a model is asked for its own first cue, and the settings of it."""

from dataclasses import dataclass
from enum import StrEnum


class Method(StrEnum):
    """How the model is asked."""

    ASKED = "asked"
    LIKELIHOOD = "likelihood"


@dataclass(frozen=True, slots=True, kw_only=True)
class SelfDetectorConfig:
    """How the model judges itself; checked when made."""

    method: Method = Method.LIKELIHOOD
    """`likelihood` costs no generated tokens; `asked` is the source's way."""

    threshold: float = 0.5
    """`likelihood`: the share of yes among yes and no from which a step counts as a cue."""

    num_retries: int = 1
    """`asked`: further tries, sampled, after an answer that cannot be read."""

    tokens_per_step: int = 6
    """`asked`: what the answer may take for each step, where the model thinks aloud."""

    answer_tokens: int = 24
    """`asked`: what it may take besides."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "method", Method(self.method))
        if not 0.0 < self.threshold < 1.0:
            raise ValueError(f"threshold is {self.threshold}: give a number between 0 and 1")
        for name in ("num_retries", "tokens_per_step"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} is {getattr(self, name)}: give 0 or more")
        if self.answer_tokens < 1:
            raise ValueError(f"answer_tokens is {self.answer_tokens}: give at least 1")
