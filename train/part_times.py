"""How long the parts of a long measurement took, kept in its folder: a line for each time that a
part was worked at, so a run that was stopped and went on adds up."""

import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from .results_log import ResultsLog

FILE = "seconds.jsonl"
"""In a study's folder: a line for each part and stop."""


@contextmanager
def timed(folder: Path, part: str) -> Generator[None]:
    """Notes the seconds by the clock and those of the processor (all cores) spent inside."""
    folder.mkdir(parents=True, exist_ok=True)
    start, busy = time.perf_counter(), time.process_time()
    try:
        yield
    finally:
        log = _log(folder)
        row = {
            "number": len(log.rows),
            "part": part,
            "seconds": round(time.perf_counter() - start, 2),
            "processor_seconds": round(time.process_time() - busy, 2),
        }
        log.add([row])


def seconds_by_part(folders: Sequence[Path]) -> Mapping[str, tuple[float, float]]:
    """Seconds by the clock and of the processor, of all folders together."""
    found: dict[str, tuple[float, float]] = {}
    for folder in folders:
        for row in _log(folder).rows.values():
            clock, busy = found.get(row["part"], (0.0, 0.0))
            found[row["part"]] = (clock + row["seconds"], busy + row["processor_seconds"])
    return found


def _log(folder: Path) -> ResultsLog:
    return ResultsLog(folder / FILE, lambda row: (row["number"],))
