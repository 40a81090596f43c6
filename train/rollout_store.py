"""A rollout run as a folder: its configuration and one line a prompt, which a crash cannot half-do.

`rollouts.jsonl` is only ever added to. A last line that was cut off by a crash is dropped, and its
prompt is done again; everything before it is kept.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..distill.run_folder import check_config, inside
from .json_lines import add_json_lines, drop_torn_line, read_json_lines
from .prompts import PromptRecord
from .rollout_records import RolloutRecord

FILE = "rollouts.jsonl"
"""In a run's folder: a line for each prompt."""


class RolloutStore:
    """The records of one run; one process writes at a time."""

    def __init__(self, folder: Path, config: Mapping[str, Any]) -> None:
        """Opens or begins a run. Raises ValueError if the folder's run has another configuration,
        or a line in its middle is damaged, or the file is a link out of the folder."""
        folder.mkdir(parents=True, exist_ok=True)
        check_config(folder, config)
        self.path = inside(folder, FILE)
        drop_torn_line(self.path)
        self.done = {record.prompt.id for record in read_rollouts(folder)}
        """Ids of the prompts that have their record."""

    def missing(self, prompts: Sequence[PromptRecord]) -> list[PromptRecord]:
        """Those that are still to be done, in order."""
        return [prompt for prompt in prompts if prompt.id not in self.done]

    def add(self, record: RolloutRecord) -> None:
        """Puts a record on disk. Raises OSError if that fails; then nothing of it counts."""
        add_json_lines(self.path, [record.to_row()])
        self.done.add(record.prompt.id)


def read_rollouts(folder: Path) -> Iterator[RolloutRecord]:
    """The records of a run, also while it is being written.

    Raises ValueError naming a line that is damaged, or a folder that holds no rollouts.
    """
    path = inside(folder, FILE)
    if not path.exists():
        if (folder / "config.json").exists():
            return
        raise ValueError(f"{folder} holds no rollouts: make some with `rerail train rollouts`")
    yield from read_json_lines(path, RolloutRecord.from_row)
