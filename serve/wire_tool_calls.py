"""Tool calls out of generated text: Hermes' JSON between tags, harmony's recipient and body."""

import hashlib
import json
import re
from dataclasses import dataclass
from typing import Any

from ..guard.json_text import json_of

_OPEN, _CLOSE = "<tool_call>", "</tool_call>"
_RECIPIENT = re.compile(r"\bto=functions\.([\w.-]+)")


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A complete call."""

    index: int
    """Position among the calls of its message."""

    id: str
    name: str
    arguments: str
    """JSON, as the model wrote it."""

    def record(self, *, streamed: bool) -> dict[str, Any]:
        """As the API writes it; only streams number their calls."""
        function = {"name": self.name, "arguments": self.arguments}
        call = {"id": self.id, "type": "function", "function": function}
        return {"index": self.index, **call} if streamed else call


def call_id(number: int, origin: str) -> str:
    """The id of the call with this position. `origin` is what the generation is made from, so the
    ids repeat with it."""
    return "call_" + hashlib.sha256(f"{number}:{origin}".encode()).hexdigest()[:24]


class CallReader:
    """Collects the text of one call until it is complete."""

    def __init__(self) -> None:
        self._markup = ""
        self._body = ""

    @property
    def raw(self) -> str:
        """The call as it was written, tags and all."""
        closing = _CLOSE if self._markup == _OPEN else ""
        return self._markup + self._body + closing

    def open(self, markup: str) -> None:
        """The markup that a call begins with."""
        self._markup += markup

    def feed(self, text: str) -> None:
        """The next piece of what stands between the markup."""
        self._body += text

    def parsed(self) -> tuple[str, str] | None:
        """Name and arguments; `None` where this is no call that a client could follow."""
        recipient = _RECIPIENT.search(self._markup)
        if recipient:
            return (recipient[1], self._body.strip()) if _is_object(self._body) else None
        try:
            call = json_of(self._body)
        except ValueError:
            return None
        if not isinstance(call, dict) or not isinstance(call.get("name"), str):
            return None
        arguments = call.get("arguments", call.get("parameters", {}))
        if isinstance(arguments, str):
            return (call["name"], arguments) if _is_object(arguments) else None
        if not isinstance(arguments, dict):
            return None
        return call["name"], json.dumps(arguments, ensure_ascii=False)


def _is_object(text: str) -> bool:
    try:
        return isinstance(json_of(text or "{}"), dict)
    except ValueError:
        return False
