"""A run is a folder: its configuration, and records that are there whole or not at all."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..guard.json_text import json_of


def check_config(folder: Path, config: Mapping[str, Any], *, name: str = "config.json") -> None:
    """Writes the configuration, or compares it with the one that the folder's run began with.

    Raises ValueError naming what differs: a run is never continued with other settings.
    """
    given = json.loads(json.dumps(config, default=str))
    path = folder / name
    found = read_record(path)
    if found is None:
        write_record(path, given)
        return
    changed = sorted(key for key in given.keys() | found.keys() if given.get(key) != found.get(key))
    if changed:
        raise ValueError(
            f"{folder} holds a run with another {', '.join(changed)} (it has "
            f"{changed[0]}={found.get(changed[0])!r}): give the same settings to go on with it, "
            "or another folder"
        )


def write_record(path: Path, record: Mapping[str, Any]) -> None:
    """Puts JSON in place at once: after a crash the file is whole, or as it was before."""
    draft = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with draft.open("w", encoding="utf-8") as file:
            file.write(json.dumps(record, indent=2, default=str) + "\n")
            file.flush()
            os.fsync(file.fileno())
        os.replace(draft, path)
    finally:
        draft.unlink(missing_ok=True)


def read_record(path: Path) -> dict[str, Any] | None:
    """The record, or None if there is none.

    Raises ValueError for a file that is no JSON object.
    """
    try:
        record = json_of(path.read_text("utf-8"))
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise ValueError(f"{path} is damaged ({error}): delete it to do this part again") from error
    if not isinstance(record, dict):
        raise ValueError(f"{path} is damaged (it is no object): delete it to do this part again")
    return record
