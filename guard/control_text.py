"""Control strings in text that is not ours: chat-template tokens, think tags, tool-call tags.

A chat template puts a user's text between its own tags, and the tokenizer that reads the result
cannot tell whose `<|im_end|>` or `</think>` it is. Encoding the user's part apart from the template
would change the tokens of ordinary text at the seams, and is impossible where a server renders the
template. So a control string in foreign text is broken up with an invisible character: ordinary
text stays as it is to the byte, and no part of a request can open or close a turn, or a chain of
thought. Whether it worked is checked on the ids, since some tokenizers look for control strings
after normalising the text.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from .detector import Message
from .reasoning_format import ReasoningFormat

_BREAKERS = ("\u2060", " ")
"""WORD JOINER, which shows as nothing; a blank where the vocabulary cannot write that."""

_MARKUP = re.compile(r"[<\[{｜|].*[>\]}｜|]\Z", re.DOTALL)


class ControlTextError(ValueError):
    """Text that this tokenizer would read as a control token whatever is done about it."""


class ForeignText:
    """Rids whole conversations of control strings; what they are is the subclass's business."""

    def neutralised(self, text: str, *, keep_think_tags: bool = False) -> str:
        """`text` without control strings; the very same text where there are none.

        `keep_think_tags` is for turns of the assistant, whose template takes old chains of thought
        out by these tags.
        """
        raise NotImplementedError

    def in_messages(self, messages: Sequence[Message]) -> list[dict[str, Any]]:
        """A conversation whose texts hold no control strings, for the chat template."""
        return [
            {
                name: value if name == "role" else self._in(value, message["role"] == "assistant")
                for name, value in message.items()
            }
            for message in messages
        ]

    def in_tools(self, tools: Sequence[Any]) -> list[Any]:
        """Tool definitions, names and descriptions and all."""
        return [self._in(tool, False) for tool in tools]

    def _in(self, value: Any, keep_think_tags: bool) -> Any:
        if isinstance(value, str):
            return self.neutralised(value, keep_think_tags=keep_think_tags)
        if isinstance(value, Mapping):
            return {self._in(k, False): self._in(v, keep_think_tags) for k, v in value.items()}
        if isinstance(value, Sequence):
            return [self._in(each, keep_think_tags) for each in value]
        return value


class ControlText(ForeignText):
    """The control strings of one tokenizer (a Hugging Face one) and its reasoning format."""

    def __init__(self, tokenizer: Any, reasoning_format: ReasoningFormat) -> None:
        tags = {tag.text for tag in reasoning_format.tags} | set(reasoning_format.header_tags)
        added = {
            token_id: token.content
            for token_id, token in tokenizer.added_tokens_decoder.items()
            if token.special or token.content in tags or _MARKUP.match(token.content)
        }
        self._tokenizer = tokenizer.backend_tokenizer
        self._ids = frozenset(added)
        self._think = (reasoning_format.open_reasoning.strip(), "</think>")
        strings = {each for each in {*added.values(), *tags} if len(each) > 1}
        self._pattern = _any_of(strings)
        self._pattern_but_think = _any_of(strings - set(self._think))
        self._breaker = next(each for each in _BREAKERS if self._writes(each))

    def neutralised(self, text: str, *, keep_think_tags: bool = False) -> str:
        """As in `ForeignText`. Raises `ControlTextError` where it cannot be done."""
        pattern = self._pattern_but_think if keep_think_tags else self._pattern
        safe = text
        while (broken := pattern.sub(self._break, safe)) != safe:
            safe = broken  # breaking one up may leave another one whole
        kept = self._think if keep_think_tags else ()
        probe = safe
        for tag in filter(None, kept):
            probe = probe.replace(tag, "")
        if self._ids & set(self._encoded(probe)):
            raise ControlTextError(
                "the text holds a spelling that this model's tokenizer reads as a control token: "
                "leave it out"
            )
        return safe

    def _break(self, found: re.Match[str]) -> str:
        return found[0][0] + self._breaker + found[0][1:]

    def _writes(self, breaker: str) -> bool:
        text = self._tokenizer.decode(self._encoded(f"a{breaker}a"), skip_special_tokens=False)
        return breaker in text or breaker == _BREAKERS[-1]

    def _encoded(self, text: str) -> list[int]:
        return self._tokenizer.encode(text, add_special_tokens=False).ids


def _any_of(strings: set[str]) -> re.Pattern[str]:
    longest_first = sorted(filter(None, strings), key=len, reverse=True)
    return re.compile("|".join(map(re.escape, longest_first)) or r"(?!)")
