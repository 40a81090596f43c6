"""Several processes at one store, and processes that are killed at it."""

import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from rerail.guard.store import Store
from rerail.guard.traces import Trace

WRITER = Path(__file__).with_name("writer.py")


def start_writers(store: str, count: int, *firsts: int) -> "subprocess.Popen[bytes]":
    command = [sys.executable, str(WRITER), store, str(count), *map(str, firsts)]
    # Without a buffer of ours: `communicate` reads behind its back, past what it holds.
    return subprocess.Popen(command, stdout=subprocess.PIPE, bufsize=0)


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_eight_writers_lose_nothing(
    database: str, request: pytest.FixtureRequest, tmp_path: Path, make_trace: Callable[..., Trace]
) -> None:
    """They make the store too, all at once: the schema must come up exactly once."""
    if database == "sqlite":
        name = str(tmp_path / "rerail.db")
    else:
        name = request.getfixturevalue("postgres_url")
    firsts = [process * 1000 for process in range(8)]
    writers = start_writers(name, 30, *firsts)
    printed, _ = writers.communicate(timeout=120)
    assert writers.returncode == 0
    assert len(set(printed.split())) == 240
    with Store(name) as store:
        try:
            assert {trace.seed for trace in store.traces()} == {
                first + number for first in firsts for number in range(30)
            }
            assert store.count_pairs() == 240
            assert store.get(make_trace(7029).id) == make_trace(7029)
        finally:
            store.purge(everything=True)


def test_kill_9_at_any_moment_loses_at_most_the_trace_under_way(
    tmp_path: Path, make_trace: Callable[..., Trace]
) -> None:
    path = tmp_path / "rerail.db"
    randomness = random.Random(0)
    committed: list[str] = []
    for attempt in range(5):
        writer = start_writers(str(path), 100_000, attempt * 100_000)
        assert writer.stdout is not None
        first_line = writer.stdout.readline()
        time.sleep(randomness.uniform(0, 0.15))
        writer.send_signal(signal.SIGKILL)
        rest, _ = writer.communicate(timeout=30)
        # A last line that was cut off is no committed id.
        whole = (first_line + rest).decode().splitlines(keepends=True)
        committed += [line.strip() for line in whole if line.endswith("\n")]
        with Store(path) as store:
            stored = {summary.id for summary in store.summaries()}
            assert set(committed) <= stored
            assert len(stored) <= len(committed) + attempt + 1
            # Each trace came with its interventions and its pair, or not at all.
            of_pairs = {pair.trace_id for pair in store.pairs()}
            assert of_pairs == stored
            last = committed[-1]
            assert store.get(last) == make_trace(int(last[:12], 16))
        with sqlite3.connect(path) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        connection.close()
    with Store(path) as store:
        assert len(list(store.traces())) == store.count() >= len(committed) > 5


def test_kill_9_while_the_store_is_made(tmp_path: Path, make_trace: Callable[..., Trace]) -> None:
    """The schema comes up in one transaction: half of it would be no store of anybody's."""
    for attempt in range(3):
        path = tmp_path / f"{attempt}.db"
        writer = start_writers(str(path), 1, 0)
        deadline = time.monotonic() + 30
        while not path.exists() and time.monotonic() < deadline:
            time.sleep(0.001)
        time.sleep(attempt * 0.05)
        writer.kill()
        writer.communicate(timeout=30)
        with Store(path) as store:
            assert store.count() <= 1
            store.add(make_trace(99))
            assert store.get(make_trace(99).id) == make_trace(99)
