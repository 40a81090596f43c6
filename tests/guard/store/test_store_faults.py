"""A store that refuses: one clear sentence, nothing stored lost, no generation broken."""

# pyright: reportPrivateUsage=false

import json
import logging
import shutil
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import event

from rerail.guard.store import Store
from rerail.guard.store_errors import StoreError
from rerail.guard.store_recorder import Recorder, Storing
from rerail.guard.traces import Trace

MakeTrace = Callable[..., Trace]
NAMESPACE = ("unshare", "--map-root-user", "--mount")


@pytest.fixture(scope="module")
def small_disk(tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    """What `small_disk.py` saw on a disk of two megabytes."""
    if not shutil.which("unshare") or subprocess.run([*NAMESPACE, "true"]).returncode:
        pytest.skip("no right to mount a small disk in a namespace of its own")
    script = Path(__file__).with_name("small_disk.py")
    disk = tmp_path_factory.mktemp("disk")
    done = subprocess.run(
        [*NAMESPACE, sys.executable, script, disk], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout) | {"stderr": done.stderr}


def test_a_full_disk_stops_storing_loudly(small_disk: dict[str, object]) -> None:
    assert str(small_disk["failed"]).endswith(
        "has no room left: free disk space, what is stored is intact"
    )
    assert small_disk["lost"] == 1
    assert small_disk["again"] is False
    assert "is not stored: the store" in str(small_disk["stderr"])


def test_what_was_stored_before_the_disk_was_full_is_intact(
    small_disk: dict[str, object],
) -> None:
    assert isinstance(small_disk["stored_before"], int)
    assert small_disk["stored_before"] > 10
    assert small_disk["readable_while_full"] is True


def test_storing_goes_on_when_there_is_room_again(small_disk: dict[str, object]) -> None:
    assert small_disk["after_freeing"] is True


def test_a_read_only_disk(small_disk: dict[str, object]) -> None:
    sentence = str(small_disk["read_only"])
    assert "rerail.db cannot be written (Read-only file system): make it writable" in sentence
    assert small_disk["late"] == [False, sentence]
    assert isinstance(small_disk["stored_before"], int)
    assert small_disk["readable_when_read_only"] == small_disk["stored_before"] + 1
    assert small_disk["whole"] is True


def test_a_store_at_its_limit(store: Store, make_trace: MakeTrace) -> None:
    """The same as a full disk, where no disk can be mounted."""

    def limit(connection: sqlite3.Connection, _: object) -> None:
        connection.execute("PRAGMA max_page_count = 60")

    store._engine.dispose()
    event.listen(store._engine, "connect", limit)
    number = 0
    with pytest.raises(StoreError, match="has no room left"):
        for number in range(1000):
            store.add(make_trace(number))
    assert number > 2
    assert [trace.seed for trace in store.traces()] == [*range(number)][::-1]
    assert store.count_pairs() == number, "no pair without its trace"


def test_a_read_only_store_is_read_and_not_written(store: Store, make_trace: MakeTrace) -> None:
    store.add(make_trace(1))
    with Store(store.name, read_only=True) as reader:
        assert reader.get(make_trace(1).id) == make_trace(1)
        with pytest.raises(StoreError, match="is read-only: make it writable or name another"):
            reader.add(make_trace(2))
    assert store.count() == 1


def test_reading_makes_no_store(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="there is no store at"):
        Store(tmp_path / "missing.db", read_only=True)
    (tmp_path / "empty.db").touch()
    with pytest.raises(StoreError, match=r"empty.db is empty: open it once for writing"):
        Store(tmp_path / "empty.db", read_only=True)
    assert [path.name for path in tmp_path.iterdir()] == ["empty.db"]


def test_a_folder_is_no_store(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="is a folder: name a file"):
        Store(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match=r"cannot be written \((Not a directory|File exists)\)"):
        Store(tmp_path / "file" / "rerail.db")


def test_a_store_held_by_another_process(store: Store, make_trace: MakeTrace) -> None:
    with sqlite3.connect(store.name, isolation_level=None) as holder:
        holder.execute("BEGIN IMMEDIATE")
        with Store(store.name, timeout_s=0.1) as waiting:
            with pytest.raises(StoreError, match="is held by another process: try again"):
                waiting.add(make_trace(1))
            assert waiting.count() == 0, "reading goes on"
        holder.execute("ROLLBACK")
    holder.close()
    store.add(make_trace(1))


def test_a_store_removed_under_way_takes_nothing_more(store: Store, make_trace: MakeTrace) -> None:
    """The open file still takes writes, which would be gone with it."""
    store.add(make_trace(1))
    Path(store.name).unlink()
    with pytest.raises(StoreError, match="has been removed"):
        store.add(make_trace(2))


def test_options_in_the_url_are_kept(postgres_url: str, make_trace: MakeTrace) -> None:
    """Overwriting them would put the tables into another schema than the user asked for."""
    with Store(postgres_url) as shared:
        with shared._engine.begin() as connection:
            connection.exec_driver_sql("CREATE SCHEMA mine")
        with Store(f"{postgres_url}&options=-csearch_path%3Dmine") as own:
            own.add(make_trace(1))
            assert own.count() == 1
        assert shared.count() == 0
        with shared._engine.begin() as connection:
            connection.exec_driver_sql("DROP SCHEMA mine CASCADE")


def test_a_lost_server_costs_only_the_traces_of_that_time(
    postgres_url: str, make_trace: MakeTrace
) -> None:
    with Store(postgres_url) as store, Store(postgres_url) as other:
        recorder = Recorder(store)
        assert recorder.record(make_trace(1))
        with other._engine.connect() as connection:
            ended = connection.exec_driver_sql(
                "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
                " WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
            ).scalar_one()
        assert ended >= 1
        assert recorder.record(make_trace(2)), "a dead connection is replaced"
        assert store.count() == 2
        store.purge(everything=True)


def test_urls_that_cannot_be_read() -> None:
    pytest.importorskip("psycopg")
    with pytest.raises(ValueError, match="cannot be read: write postgresql://USER"):
        Store("postgresql://me:secret@host:port/x")


def test_a_damaged_trace_does_not_hide_the_others(store: Store, make_trace: MakeTrace) -> None:
    for number in (1, 2):
        store.add(make_trace(number))
    with store._engine.begin() as connection:
        connection.exec_driver_sql(
            "UPDATE traces SET body = x'00' WHERE id = ?", (make_trace(1).id,)
        )
    with pytest.raises(StoreError, match=f"trace {make_trace(1).id} in the store .* damaged"):
        store.get(make_trace(1).id)
    assert store.get(make_trace(2).id) == make_trace(2)
    assert len(store.summaries()) == 2


def test_a_server_out_of_reach() -> None:
    pytest.importorskip("psycopg")
    url = "postgresql://me:secret@localhost:1/traces"
    with pytest.raises(StoreError, match="cannot be reached") as caught:
        Store(url, timeout_s=2)
    assert "postgresql://me@localhost:1/traces" in str(caught.value)
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_missing_driver_is_named(tmp_path: Path) -> None:
    (tmp_path / "psycopg.py").write_text("raise ModuleNotFoundError('no psycopg here')\n")
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from rerail.guard.store import Store\n"
        "try: Store('postgresql://localhost/x')\n"
        "except ImportError as error: sys.stdout.write(str(error))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path], capture_output=True, text=True, check=True
    )
    assert done.stdout == 'a PostgreSQL store needs a driver: pip install "rerail[postgres]"'


def test_a_recorder_stores_and_counts(store: Store, make_trace: MakeTrace) -> None:
    recorder = Recorder(store, "full")
    assert recorder.record(make_trace(1))
    assert (recorder.num_stored, recorder.num_lost, recorder.failed) == (1, 0, None)
    assert store.get(make_trace(1).id) == make_trace(1)


def test_a_recorder_never_raises(
    store: Store, make_trace: MakeTrace, caplog: pytest.LogCaptureFixture
) -> None:
    recorder = Recorder(store)
    with caplog.at_level(logging.ERROR):
        assert not recorder.record(make_trace(1, sampling={"odd": object()}))
        broken = make_trace(3)
        broken.tokens.scores.pop()
        assert not recorder.record(broken), "not even for mistakes of ours"
    assert recorder.num_lost == 2
    assert f"trace {make_trace(1).id} is not stored: a object cannot be stored" in caplog.text
    assert recorder.record(make_trace(2)), "and goes on"
    assert recorder.failed is not None, "a loss is not forgotten"


def test_a_recorder_that_redacts(store: Store, make_trace: MakeTrace) -> None:
    Recorder(store, Storing.REDACTED).record(make_trace(1))
    assert store.get(make_trace(1).id).text == ""


def test_a_recorder_that_is_off_makes_no_store(tmp_path: Path, make_trace: MakeTrace) -> None:
    recorder = Recorder.open(tmp_path / "rerail.db", "off")
    assert recorder.record(make_trace(1))
    assert (recorder.num_stored, recorder.failed) == (0, None)
    recorder.close()
    assert list(tmp_path.iterdir()) == []


def test_wrong_words_for_storing(store: Store) -> None:
    with pytest.raises(ValueError, match="'some' is not a valid Storing"):
        Recorder(store, "some")
    with pytest.raises(ValueError, match="needs a store"):
        Recorder(None)


def test_threads_share_a_recorder(store: Store, make_trace: MakeTrace) -> None:
    recorder = Recorder(store)

    def work(first: int) -> None:
        for number in range(first, first + 10):
            recorder.record(make_trace(number))

    threads = [threading.Thread(target=work, args=(first * 100,)) for first in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (recorder.num_stored, recorder.num_lost) == (80, 0)
    assert store.count() == 80


def test_the_guard_is_imported_without_databases() -> None:
    code = (
        "import sys, rerail.guard, rerail.guard.store_recorder, rerail.guard.store_location\n"
        "sys.exit(bool({'sqlalchemy', 'alembic', 'pyarrow'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
