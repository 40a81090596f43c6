"""Append-only JSON lines of a run: one line is one whole result, found again by its key."""

import json
from collections.abc import Callable, Hashable, Iterable, Mapping
from pathlib import Path
from typing import Any

Key = tuple[Hashable, ...]


class ResultsLog:
    """What a run has already, and where it writes the rest."""

    def __init__(self, path: Path, key: Callable[[Mapping[str, Any]], Key]) -> None:
        """Reads what is there; a last line that a kill cut off is dropped and done again.

        Raises ValueError naming the line for a file that is damaged elsewhere.
        """
        self.path = path
        self._key = key
        self.rows: dict[Key, dict[str, Any]] = {}
        if not path.exists():
            return
        data = path.read_bytes()
        whole = data[: data.rfind(b"\n") + 1]
        if len(whole) < len(data):
            path.write_bytes(whole)
        for number, line in enumerate(whole.split(b"\n")[:-1], 1):
            try:
                row = json.loads(line)
                self.rows[key(row)] = row
            except (ValueError, KeyError, TypeError) as error:
                raise ValueError(
                    f"{path} line {number} is damaged ({error!r}): delete that line to have it "
                    "done again"
                ) from error

    def __contains__(self, key: Key) -> bool:
        return key in self.rows

    def add(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Appends results and flushes them; they are kept as they would be read again."""
        with self.path.open("a", encoding="utf-8") as file:
            for row in rows:
                line = json.dumps(row, ensure_ascii=True)
                file.write(line + "\n")
                self.rows[self._key(row)] = json.loads(line)
