"""Errors in the OpenAI API's shape."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class ErrorType(StrEnum):
    """The API's `type` of an error."""

    INVALID = "invalid_request_error"
    AUTHENTICATION = "authentication_error"
    PERMISSION = "permission_error"
    RATE_LIMIT = "rate_limit_error"
    SERVER = "server_error"


@dataclass
class ApiError(Exception):
    """A request that is not served; the message is one sentence that says what to do.

    Not frozen: contextlib writes tracebacks into the exceptions that pass through it.
    """

    status: int
    message: str
    type: ErrorType = ErrorType.INVALID
    param: str | None = None
    """The field that is wrong."""

    code: str | None = None
    """A word for programs; also the `kind` in the metrics."""

    retry_after_s: float | None = None

    @property
    def body(self) -> dict[str, Any]:
        """The answer's JSON."""
        error = {
            "message": self.message,
            "type": self.type.value,
            "param": self.param,
            "code": self.code,
        }
        return {"error": error}

    @property
    def headers(self) -> dict[str, str]:
        """Of the answer: when to try again, in seconds, where that is known."""
        if self.retry_after_s is None:
            return {}
        return {"retry-after": str(max(1, round(self.retry_after_s)))}


def invalid(param: str, message: str, code: str | None = None) -> ApiError:
    """A field with a value that cannot be served."""
    return ApiError(400, f"{param}: {message}", param=param, code=code or "invalid_value")


def overloaded(message: str, code: str, retry_after_s: float = 1.0) -> ApiError:
    """The server cannot take this request now."""
    return ApiError(503, message, ErrorType.SERVER, code=code, retry_after_s=retry_after_s)
