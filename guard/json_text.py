"""JSON from outside: whatever is wrong with it is a `ValueError`."""

import json
from typing import Any


def json_of(text: str | bytes) -> Any:
    """The value. Raises `ValueError`, also for a text that is nested too deeply to be read, which
    Python's own reader meets with a `RecursionError`."""
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
