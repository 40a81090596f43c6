"""Rounds beside a server: its store fills with pairs, and every so often a round learns from them.

One round at a time. What is promoted is put into a pointer file that a server can follow, and can
be handed to vLLM; a round that is rejected or fails changes nothing that serves. Killed anywhere,
the same command goes on: the pairs of a round are written down before it begins.
"""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from ..distill.run_folder import inside, write_record
from ..guard.backend_transformers_identity import model_identity
from ..guard.pair_completion import Continue, complete_pairs
from ..guard.pair_files import export_pairs, read_pairs
from ..guard.pairs import Pair
from ..guard.store import Store
from ..guard.store_query import PairFilter
from .current import Current
from .gate_measure import Told
from .preference_checkpoints import TrainingStopped
from .round import Round
from .round_report import RoundReport, write_summary
from .rounds import RoundsRun
from .rounds_config import RoundsConfig

POINTER = "promoted.json"
"""In the watch's folder: which model to serve."""

SNAPSHOT = "store-pairs.jsonl"
"""In a round's folder: the pairs that it has taken from the store."""

FAILED = "failed.json"
"""In the folder of a round that failed: why."""

_OVERLAP = timedelta(hours=1)
"""A trace is stored when it ends: pairs begun so long before the last look may be new."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchConfig:
    """When a round begins."""

    min_pairs: int = 100
    """New pairs in the store that begin a round."""

    every_s: float | None = None
    """Begin one after so many seconds all the same, if there is any new pair."""

    poll_s: float = 10.0
    """Seconds between two looks."""

    max_rounds: int | None = None
    """End after so many."""

    served_as: str | None = None
    """The model's name in the store; by default `model` and the fingerprint of its weights."""

    def __post_init__(self) -> None:
        if self.min_pairs < 1:
            raise ValueError(f"min_pairs is {self.min_pairs}: give at least 1")
        for name in ("every_s", "poll_s", "max_rounds"):
            value = getattr(self, name)
            if value is not None and value <= 0:
                raise ValueError(f"{name} is {value}: give a number above 0")


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a watch needs of the program around it."""

    continuations: Callable[[Any, Any], Continue]
    """For a model and its tokenizer: what completes pairs."""

    hand_over: Callable[[Current], None] = lambda _: None
    """Called with what was promoted, after the pointer file is written."""

    told: Told = lambda _: None
    stop: threading.Event = threading.Event()  # noqa: RUF009 - never set unless given
    """Ends the watch between two looks."""


def watch(
    config: RoundsConfig, watching: WatchConfig, store: Store, out: Path, around: Surroundings
) -> list[RoundReport]:
    """Looks, and runs rounds, until told to stop or `max_rounds` are done.

    `config.num_harmful` prompts are rolled out besides, none if 0; the harmless ones keep the model
    helpful. Raises ValueError with a sentence where the run cannot begin.
    """
    run = RoundsRun.begun(config, out, around.told)
    current, reports, number = resumed(run)
    point(run, current)
    name = stored_name(watching, config, current)
    last = time.monotonic()
    while not around.stop.is_set():
        if watching.max_rounds is not None and number > watching.max_rounds:
            break
        folder = run.folder(number)
        fresh: list[Pair] = []
        overdue = watching.every_s is not None and time.monotonic() - last >= watching.every_s
        if not (folder / SNAPSHOT).exists():
            fresh = new_pairs(store, name, out)
            if len(fresh) < (1 if overdue else watching.min_pairs):
                around.stop.wait(watching.poll_s)
                continue
            around.told(f"round {number}: {len(fresh)} new pairs")
        try:
            this = run.round(number, current)
            report = this.run(taken_pairs(this, store, fresh, name, around))
        except (ValueError, OSError, TrainingStopped) as error:
            # Said and put on record, so that the next start does not run into it again.
            around.told(f"round {number} failed and changes nothing: {error}")
            folder.mkdir(parents=True, exist_ok=True)
            write_record(folder / FAILED, {"reason": str(error)})
        else:
            before, current = current, current.after(report, config, folder)
            reports.append(report)
            write_summary(out, run.start.figures, reports)
            if current is not before:
                point(run, current)
                name = stored_name(watching, config, current)
                _hand_over(around, current)
        number += 1
        last = time.monotonic()
    return reports


def resumed(run: RoundsRun) -> tuple[Current, list[RoundReport], int]:
    """The model, the reports and the number of the next round, from what lies in the folder."""
    current, reports, number = run.first, [], 1
    while True:
        folder = run.folder(number)
        report = RoundReport.read(folder)
        if report is not None:
            current = current.after(report, run.config, folder)
            reports.append(report)
        elif not (folder / FAILED).exists():
            return current, reports, number
        number += 1


def new_pairs(store: Store, name: str, out: Path) -> list[Pair]:
    """The store's pairs of the model in service, by this name, that no round has taken yet."""
    taken: set[str] = set()
    since = None
    for found in out.glob(f"round-*/{SNAPSHOT}"):
        snapshot = inside(out, found.relative_to(out))
        taken.update(pair.id for pair in read_pairs(snapshot))
        at = datetime.fromtimestamp(snapshot.stat().st_mtime, UTC) - _OVERLAP
        since = at if since is None else max(since, at)
    wanted = PairFilter(since=since, model=name)
    return [pair for pair in store.pairs(wanted) if pair.id not in taken and pair.rejected_ids]


def taken_pairs(
    this: Round, store: Store, fresh: Sequence[Pair], name: str, around: Surroundings
) -> list[Pair]:
    """The store's pairs that the round has taken: `fresh` ones of the model in service, by this
    name, completed and written down, where there are none yet."""
    snapshot = inside(this.folder, SNAPSHOT)
    if not snapshot.exists():
        model, tokenizer = this.current.weights.load()
        around.told(f"completing {len(fresh)} pairs")
        complete_pairs(
            store,
            around.continuations(model, tokenizer),
            PairFilter(model=name, complete=False),
            batch_size=this.config.batch_size,
        )
        snapshot.parent.mkdir(parents=True, exist_ok=True)
        export_pairs((store.pair(pair.id) for pair in fresh), snapshot)
    return list(read_pairs(snapshot))


def stored_name(watching: WatchConfig, config: RoundsConfig, current: Current) -> str:
    """What the server in front of the current model puts into its traces."""
    if watching.served_as is not None:
        return watching.served_as
    model, _ = current.weights.load()
    return f"{config.model}@{model_identity(model).rpartition('@')[2]}"


def point(run: RoundsRun, current: Current) -> None:
    """Puts the pointer file in place, with the address of the adapter as a server needs it."""
    adapter = current.weights.adapter
    write_record(
        run.out / POINTER,
        {
            "name": run.config.model,
            "model": current.weights.model,
            "adapter": None if adapter is None else str(adapter.resolve()),
        },
    )


def _hand_over(around: Surroundings, current: Current) -> None:
    try:
        around.hand_over(current)
    except (ValueError, OSError) as error:
        around.told(f"promoted, but the engine did not take it: {error}")
