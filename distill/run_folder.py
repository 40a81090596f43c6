"""A run, of distillation or training, is a folder: its configuration, and records that are there
whole or not at all.

A folder may come from elsewhere: what its records name, and what its links lead to, has to lie in
it, or it is refused.
"""

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from ..guard.json_text import json_of

_Read = TypeVar("_Read")


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
    put_text(path, json.dumps(record, indent=2, default=str) + "\n")


def put_text(path: Path, text: str) -> None:
    """Puts a text in place at once, also of a link: what that leads to stays as it is."""
    put_bytes(path, text.encode())


def put_bytes(path: Path, data: bytes) -> None:
    """The same for anything else, such as a picture."""
    draft = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with draft.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(draft, path)
    finally:
        draft.unlink(missing_ok=True)


def read_record(path: Path) -> dict[str, Any] | None:
    """The record, or None if there is none.

    Raises ValueError for a file that is no JSON object, or a link that leads out of its folder.
    """
    return read_as(path, lambda record: record)


def read_as(path: Path, make: Callable[[dict[str, Any]], _Read]) -> _Read | None:
    """What `make` makes of the record, or None if there is none.

    Raises ValueError for a file that is no JSON object or from which `make` cannot be had, and for
    a link that leads out of its folder.
    """
    try:
        record = json_of(inside(path.parent, path.name).read_text("utf-8"))
        if not isinstance(record, dict):
            raise ValueError("it is no object")
        return make(record)
    except FileNotFoundError:
        return None
    except OutsideError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        why = repr(error) if isinstance(error, KeyError) else error
        raise ValueError(f"{path} is damaged ({why}): delete it to do this part again") from error


class OutsideError(ValueError):
    """A record or a link of a run's folder leads out of it."""


def inside(folder: Path, name: object) -> Path:
    """The file or folder of this name in a run's folder, whether it is there or not.

    Raises `OutsideError` for an address elsewhere, `..`, and a link to somewhere else.
    """
    path = folder / str(name)
    try:
        if ".." not in path.relative_to(folder).parts:
            path.resolve().relative_to(folder.resolve())
            return path
    except (OSError, RuntimeError, ValueError):  # ends elsewhere, or in a loop of links
        pass
    raise OutsideError(
        f"{folder} names {str(name)!r}, which leads out of the folder: use only run folders that "
        "rerail wrote, or delete that name to do this part again"
    )
