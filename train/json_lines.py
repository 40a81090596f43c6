"""JSON lines that are only ever added to: what a kill cut off at the end is dropped and done again.

A line counts once its line break is on disk; everything before it is kept.
"""

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from ..guard.json_text import json_of

_Read = TypeVar("_Read")


def read_json_lines(path: Path, read: Callable[[Any], _Read]) -> Iterator[_Read]:
    """`read` of every whole line, also while the file is being written.

    Raises ValueError naming the line for a file that is damaged elsewhere than at its end.
    """
    with path.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            if not line.endswith(b"\n"):
                return
            try:
                value = read(json_of(line))
            except (ValueError, KeyError, TypeError) as error:
                raise ValueError(
                    f"{path} line {number} is damaged ({error!r}): delete that line to have it "
                    "done again"
                ) from error
            yield value


def drop_torn_line(path: Path) -> None:
    """Cuts off a last line that was not written to its end; a file that is missing stays so."""
    if not path.exists():
        return
    data = path.read_bytes()
    whole = data.rfind(b"\n") + 1
    if whole < len(data):
        with path.open("r+b") as file:
            file.truncate(whole)


def add_json_lines(path: Path, rows: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Appends rows and puts them on disk; gives them as they would be read again.

    Raises OSError if that fails.
    """
    lines = [json.dumps(row, ensure_ascii=True) for row in rows]
    with path.open("a", encoding="utf-8") as file:
        file.writelines(f"{line}\n" for line in lines)
        file.flush()
        os.fsync(file.fileno())
    return [json.loads(line) for line in lines]
