"""Files that `rerail distill` writes before it distils: the sandbox's, and the store's traces."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

from .cli_errors import counted, say
from .distill_options import StoredTraces
from .options import default_store

if TYPE_CHECKING:
    from ..distill.teachers import Teacher


def write_sandbox(folder: Path, scale: float) -> None:
    """The sandbox's files, each once: what is there is whole.

    Numbers and seeds are those of the shipped student's last passes.
    """
    from ..distill.shipped import SANDBOX_REQUESTS, SANDBOX_WORLD, SANDBOX_WRITTEN
    from ..train.sandbox.labelled import model_rows, request_rows, world_rows, write_rows
    from ..train.sandbox.shipped import model_folder
    from ..train.sandbox.world import prompts

    folder.mkdir(parents=True, exist_ok=True)

    def number(whole: int) -> int:
        return max(24, round(whole * scale))

    for name, rows in {
        SANDBOX_WORLD: lambda: world_rows("train", number(2400), 22),
        SANDBOX_REQUESTS: lambda: request_rows("train", number(24_000), 11),
        SANDBOX_WRITTEN: lambda: model_rows(
            prompts("train", num=number(2400), seed=21), 21, model_folder()
        ),
    }.items():
        if not (folder / name).exists():
            partial = folder / f"{name}.partial"
            write_rows(rows(), partial)
            partial.rename(folder / name)


def write_stored(stored: StoredTraces, teacher: "Teacher", out: Path) -> Path:
    """Writes the store's traces, taught, beside the run; gives the file."""
    from ..distill.stored_traces import SOURCE, taught_from_store
    from ..guard.store import Store
    from ..guard.store_query import TraceFilter

    path = out / f"{SOURCE}.jsonl"
    if path.exists():
        return path
    with Store(stored.store or default_store(), read_only=True) as store:
        wanted = TraceFilter(since=stored.since, until=stored.until)
        partial = path.with_suffix(".partial")
        num = 0
        with partial.open("w", encoding="utf-8") as file:
            for trace in taught_from_store(store.traces(wanted), teacher):
                file.write(json.dumps(trace.to_json()) + "\n")
                num += 1
    partial.rename(path)
    branches = counted(num, "branch", "branches")
    say(f"{branches} of stored traces labelled by the {teacher.name} teacher")
    return path
