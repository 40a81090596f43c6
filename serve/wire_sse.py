"""Server-sent events, as the OpenAI API frames them."""

import json
from typing import Any

DONE = b"data: [DONE]\n\n"
COMMENT = b": still here\n\n"
"""Sent while nothing can be released, so that nobody in between closes the connection."""


def event(record: Any) -> bytes:
    """One record as an event. JSON has no line breaks outside strings, so it is one line."""
    return b"data: " + compact_json(record) + b"\n\n"


def compact_json(record: Any) -> bytes:
    """UTF-8, without blanks; half characters become question marks."""
    return json.dumps(record, ensure_ascii=False, separators=(",", ":")).encode(errors="replace")
