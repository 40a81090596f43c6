"""Append-only JSON lines of a run: one line is one whole result, found again by its key."""

from collections.abc import Callable, Hashable, Iterable, Mapping
from pathlib import Path
from typing import Any

from ..distill.run_folder import inside
from .json_lines import add_json_lines, drop_torn_line, read_json_lines

Key = tuple[Hashable, ...]
"""What finds a result again: the values of some of its fields."""


class ResultsLog:
    """What a run has already, and where it writes the rest."""

    def __init__(self, path: Path, key: Callable[[Mapping[str, Any]], Key]) -> None:
        """Reads what is there; a last line that a kill cut off is dropped and done again.

        Raises ValueError naming the line for a file that is damaged elsewhere, and for a link that
        leads out of its folder.
        """
        self.path = inside(path.parent, path.name)
        self._key = key
        self.rows: dict[Key, dict[str, Any]] = {}
        if path.exists():
            drop_torn_line(path)
            self.rows.update(read_json_lines(path, lambda row: (key(row), row)))

    def __contains__(self, key: Key) -> bool:
        return key in self.rows

    def add(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Appends results and flushes them; they are kept as they would be read again."""
        self.rows.update((self._key(row), row) for row in add_json_lines(self.path, rows))
