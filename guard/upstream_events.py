"""Server-sent events, as they come in: bytes in any pieces, the events' data out.

Tolerant of what servers and proxies do (any line ending, comments, other fields, data on several
lines, no blank before it, a byte order mark), and bounded: an event that grows beyond the limit is
an error, not memory.
"""

import re

from .upstream_errors import UpstreamError, UpstreamFault

MAX_EVENT_BYTES = 4 << 20
"""Of one event; a server that sends more is cut off."""

_BOM = b"\xef\xbb\xbf"
_LINE_END = re.compile(rb"\r\n|\n|\r")


class EventReader:
    """One stream of events. The same bytes in any pieces give the same data."""

    def __init__(self, max_event_bytes: int = MAX_EVENT_BYTES) -> None:
        self._max_event_bytes = max_event_bytes
        self._rest = b""
        self._data: list[bytes] = []
        self._num_bytes = 0
        self._begun = False

    def feed(self, chunk: bytes) -> list[bytes]:
        """The data of all events that end in `chunk`. Raises `UpstreamError` for one too long."""
        text = self._rest + chunk
        # A carriage return at the very end may be half of a line's end.
        end = len(text) - 1 if text.endswith(b"\r") else len(text)
        *lines, tail = _LINE_END.split(text[:end])
        self._rest = tail + text[end:]
        found = [data for line in lines if (data := self._line(line)) is not None]
        if self._num_bytes + len(self._rest) > self._max_event_bytes:
            raise UpstreamError(
                UpstreamFault.MALFORMED,
                f"the upstream sent an event of more than {self._max_event_bytes} bytes",
            )
        return found

    def flush(self) -> list[bytes]:
        """The data of an event that the end of the stream ends."""
        found = [data for line in (self._rest.rstrip(b"\r"), b"") if (data := self._line(line))]
        self._rest = b""
        return found

    def _line(self, line: bytes) -> bytes | None:
        if not self._begun:
            self._begun, line = True, line.removeprefix(_BOM)
        if line:
            name, _, value = line.partition(b":")
            if name == b"data":
                self._data.append(value.removeprefix(b" "))
                self._num_bytes += len(value)
            return None
        if not self._data:
            return None
        data, self._data, self._num_bytes = b"\n".join(self._data), [], 0
        return data
