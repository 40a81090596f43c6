"""The body of a request, before anybody knows its fields."""

import json
import re
from typing import Any

from ..guard.json_text import json_of
from .wire_errors import ApiError

_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")


def read_body(body: bytes) -> dict[str, Any]:
    """The object that it holds. Raises `ApiError` for no JSON, for half characters (which no
    tokenizer and no database can take), and for JSON that is no object."""
    try:
        value = json_of(body)
        if _SURROGATE.search(body):
            json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        message = "the body is no JSON of whole characters"
        raise ApiError(400, message, code="invalid_json") from None
    if not isinstance(value, dict):
        raise ApiError(400, "the body must be a JSON object", code="invalid_json")
    return value
