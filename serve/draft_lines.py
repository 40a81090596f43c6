"""A JSON Lines file that appears only when it is whole, and can be gone on with until then.

Lines go to `NAME.part`, whose first line says what run they belong to. A later run of the same kind
goes on after the last whole line; one of another kind starts afresh.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self


class DraftLines:
    """The file under way. Use it as a context manager; `finish` puts it in its place."""

    def __init__(self, path: Path, run: Mapping[str, Any]) -> None:
        """Opens the draft; raises `OSError` where that cannot be."""
        self.path = path
        self.draft = path.with_name(path.name + ".part")
        if path.is_dir():
            raise IsADirectoryError(21, "is a folder: name a file", str(path))
        header = json.dumps({"run": dict(run)}, sort_keys=True).encode() + b"\n"
        kept = self._kept(header)
        self.num_kept = kept.count(b"\n")
        """Lines that an earlier run has left."""
        self._file = self.draft.open("wb")
        self._file.write(header + kept)
        self._file.flush()

    def _kept(self, header: bytes) -> bytes:
        if not self.draft.is_file():
            return b""
        content = self.draft.read_bytes()
        if not content.startswith(header):
            return b""
        lines = content[len(header) :]
        return lines[: lines.rfind(b"\n") + 1]

    def write(self, record: Mapping[str, Any]) -> None:
        """Adds a record."""
        self._file.write(json.dumps(record).encode() + b"\n")

    def flush(self) -> None:
        """Has what was written survive the end of this process."""
        self._file.flush()

    def finish(self) -> None:
        """Puts the whole file, without the draft's first line, in its place; drops the draft."""
        self._file.flush()
        whole = self.path.with_name(f".{self.path.name}.{os.getpid()}.part")
        try:
            with self.draft.open("rb") as source, whole.open("wb") as target:
                source.readline()
                while block := source.read(1 << 20):
                    target.write(block)
                target.flush()
                os.fsync(target.fileno())
            os.replace(whole, self.path)
        finally:
            whole.unlink(missing_ok=True)
        self._file.close()
        self.draft.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._file.close()
