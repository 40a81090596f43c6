"""Structured logs: one JSON object a line, on stderr. Never any text of a request or a generation.

Exceptions are logged by type and place only, since the messages of foreign ones may quote what was
being read.
"""

import hashlib
import json
import logging
import sys
import traceback
from datetime import UTC, datetime
from typing import Any

LOGGER = logging.getLogger("rerail.serve")


class JsonLines(logging.Formatter):
    """A record as one line: time, level, logger, message, and what `extra={"fields": ...}` has."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, without its end."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        line |= getattr(record, "fields", {})
        if record.exc_info is not None and record.exc_info[1] is not None:
            line["error"] = type(record.exc_info[1]).__name__
            line["at"] = _places(record.exc_info[1])
        return json.dumps(line, ensure_ascii=False, default=str)


def set_up_logs(level: str) -> None:
    """Sends everything to stderr as JSON lines; the web server's own messages, too."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    for name in ("rerail", "uvicorn", "uvicorn.error", "uvicorn.access"):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
    logging.getLogger("uvicorn.access").disabled = True  # one line a request is enough: ours
    for name in ("httpx", "httpcore", "openai", "asyncio"):
        logging.getLogger(name).setLevel(logging.WARNING)


def log_event(message: str, *, level: int = logging.INFO, **fields: Any) -> None:
    """One line with these fields; those that are `None` are left out."""
    known = {name: value for name, value in fields.items() if value is not None}
    LOGGER.log(level, message, extra={"fields": known})


def log_error(message: str, error: BaseException, **fields: Any) -> None:
    """What went wrong, and where."""
    known = {name: value for name, value in fields.items() if value is not None}
    trace = (type(error), error, error.__traceback__)
    LOGGER.error(message, exc_info=trace, extra={"fields": known})


def hashed(name: str) -> str:
    """What a caller calls somebody, as it may stand in a log: 12 hexadecimal digits."""
    return hashlib.sha256(name.encode()).hexdigest()[:12]


def _places(error: BaseException) -> list[str]:
    """The innermost places of a traceback, without the lines of code or any value."""
    frames = traceback.extract_tb(error.__traceback__)[-6:]
    return [f"{frame.filename.rpartition('/')[2]}:{frame.lineno} {frame.name}" for frame in frames]
