"""Request fields that go to an upstream, and those of them that it is known to take.

A field that an upstream does not know it ignores in silence, so only those go there that servers
of its kind take, and those that the operator names. Fields that speak of the whole answer
(`response_format`, `structured_outputs`, `thinking_token_budget`) start anew with every run, so
where interventions are possible the operator has to name them: a form binds the chain of thought as
well where the upstream does not know where that ends (vLLM: `--reasoning-parser`), and then an
intervention breaks it. In answers of a prescribed form nothing is intervened (answer_form.py).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..guard.upstream_discovery import UpstreamMode
from .engine_options import LOCAL, OPENAI, WIDESPREAD, LogitBiasOption, NumberOption, Option

_OWN = frozenset(
    {
        "echo", "logprobs", "max_completion_tokens", "max_new_tokens", "max_tokens", "messages",
        "model", "n", "prompt", "rerail", "return_token_ids", "seed", "stop", "stream",
        "stream_options", "temperature", "tools", "top_logprobs", "top_p",
    }
)  # fmt: skip
"""What the server itself reads, and nobody may redefine."""


@dataclass(frozen=True, slots=True)
class AsItIs:
    """A value that is the upstream's to check."""

    kinds: tuple[type, ...] = (str, int, float, bool, list, dict)

    def read(self, value: Any) -> Any:
        if not isinstance(value, self.kinds) or (
            isinstance(value, bool) and bool not in self.kinds
        ):
            names = " or ".join(_WORDS[kind] for kind in self.kinds)
            raise ValueError(f"give {names}")
        return value


_WORDS: Mapping[type, str] = {
    str: "a text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    list: "a list",
    dict: "an object",
}
_BIAS: Mapping[str, Option] = {"logit_bias": LogitBiasOption(1 << 24)}
"""The size of the upstream's vocabulary is not known here."""

_VLLM: Mapping[str, Option] = {
    **LOCAL,
    **_BIAS,
    "min_tokens": NumberOption(0, 2**31 - 1, whole=True),
    "ignore_eos": AsItIs((bool,)),
    "stop_token_ids": AsItIs((list,)),
    "allowed_token_ids": AsItIs((list,)),
    "bad_words": AsItIs((list,)),
    "priority": AsItIs((int,)),
    "cache_salt": AsItIs((str,)),
    "vllm_xargs": AsItIs((dict,)),
    "repetition_detection": AsItIs((dict,)),
}
_FIELDS: Mapping[UpstreamMode, Mapping[str, Option]] = {
    UpstreamMode.IDS: _VLLM,
    UpstreamMode.TEXT: {**WIDESPREAD, **_BIAS},
    UpstreamMode.CHAT: {**OPENAI, **_BIAS, "response_format": AsItIs((dict,))},
}


def fields_of(mode: UpstreamMode, further: Sequence[str] = ()) -> dict[str, Option]:
    """The fields that go to an upstream of this kind; `further` are the operator's own.

    Raises `ValueError` for one that the server itself reads.
    """
    for name in further:
        if name in _OWN or not name.isidentifier():
            raise ValueError(f"--upstream-field {name}: this field cannot be handed on")
    return {**_FIELDS[mode], **dict.fromkeys(further, AsItIs())}
