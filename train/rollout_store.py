"""A rollout run as a folder: its configuration and one line a prompt, which a crash cannot half-do.

`rollouts.jsonl` is only ever added to. A last line that was cut off by a crash is dropped, and its
prompt is done again; everything before it is kept.
"""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from .prompts import PromptRecord
from .rollout_records import RolloutRecord
from .run_folder import check_config

FILE = "rollouts.jsonl"


class RolloutStore:
    """The records of one run; one process writes at a time."""

    def __init__(self, folder: Path, config: Mapping[str, Any]) -> None:
        """Opens or begins a run. Raises ValueError if the folder's run has another configuration,
        or a line in its middle is damaged."""
        folder.mkdir(parents=True, exist_ok=True)
        check_config(folder, config)
        self.path = folder / FILE
        _drop_torn_line(self.path)
        self.done = {record.prompt.id for record in read_rollouts(folder)}
        """Ids of the prompts that have their record."""
        self._file = self.path.open("a", encoding="utf-8")

    def missing(self, prompts: Sequence[PromptRecord]) -> list[PromptRecord]:
        """Those that are still to be done, in order."""
        return [prompt for prompt in prompts if prompt.id not in self.done]

    def add(self, record: RolloutRecord) -> None:
        """Puts a record on disk. Raises OSError if that fails; then nothing of it counts."""
        line = json.dumps(record.to_row(), ensure_ascii=True)
        self._file.write(line + "\n")
        self._file.flush()
        os.fsync(self._file.fileno())
        self.done.add(record.prompt.id)

    def close(self) -> None:
        """Closes the file."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def read_rollouts(folder: Path) -> Iterator[RolloutRecord]:
    """The records of a run, also while it is being written.

    Raises ValueError naming a line that is damaged, or a folder that holds no rollouts.
    """
    path = folder / FILE
    if not path.exists():
        if (folder / "config.json").exists():
            return
        raise ValueError(f"{folder} holds no rollouts: make some with `rerail train rollouts`")
    with path.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            if not line.endswith(b"\n"):
                return
            try:
                yield RolloutRecord.from_row(json.loads(line))
            except (ValueError, KeyError, TypeError) as error:
                raise ValueError(
                    f"{path} line {number} is damaged ({error!r}): remove the line, and the run "
                    "does that prompt again"
                ) from error


def _drop_torn_line(path: Path) -> None:
    if not path.exists():
        return
    data = path.read_bytes()
    whole = data.rfind(b"\n") + 1
    if whole < len(data):
        with path.open("r+b") as file:
            file.truncate(whole)
