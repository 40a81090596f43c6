"""The connection to a store: opened, tuned, and its errors put in a sentence.

SQLite runs in WAL mode with `synchronous=NORMAL`: what was committed survives `kill -9` of every
process; a power cut may take the last commits with it, never the database. Waiting for the disk at
each trace (`FULL`) would buy little, since a generation under way is lost in a power cut anyway.
"""

import os
import random
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote

from sqlalchemy import Connection, Engine, QueuePool, create_engine, event, make_url
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from .store_errors import StoreError
from .store_location import StoreLocation

Result = TypeVar("Result")

_BUSY = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
_POSTGRES_RETRIED = ("40001", "40P01")
"""Serialisation failure and deadlock: nothing was written, so trying again is right."""


def open_engine(location: StoreLocation, *, read_only: bool, timeout_s: float) -> Engine:
    """An engine for the store; a SQLite file and its folder are made if need be, readable by the
    user alone, since traces hold what people asked and what a model thought of harmful requests.

    Raises `StoreError`, and `ImportError` where the PostgreSQL driver is missing.
    """
    if location.path is None:
        return _open_postgres(location, read_only=read_only, timeout_s=timeout_s)
    path = location.path
    if read_only:
        if not path.is_file():
            raise StoreError(f"there is no store at {path}: name another one, or store a trace")
    else:
        _make_file(path)
    uri = _sqlite_uri(path, read_only=read_only)

    def connect() -> sqlite3.Connection:
        # Every transaction is begun by hand (`_begin`), else sqlite3 would begin them deferred.
        connection = sqlite3.connect(
            uri, uri=True, timeout=timeout_s, check_same_thread=False, isolation_level=None
        )
        try:
            _tune(connection, read_only=read_only, timeout_s=timeout_s)
        except sqlite3.Error:
            connection.close()
            raise
        return connection

    engine = create_engine("sqlite://", creator=connect, poolclass=QueuePool)
    event.listen(engine, "begin", _begin)
    return engine


def write(
    engine: Engine, location: StoreLocation, timeout_s: float, work: Callable[[Connection], Result]
) -> Result:
    """Runs `work` in one transaction, again while others hold the store, up to `timeout_s`.

    Raises `StoreError`; then nothing of `work` is stored.
    """
    deadline = time.monotonic() + timeout_s
    while True:
        if location.path is not None and not location.path.exists():
            # The open file would take everything, and lose it when it is closed.
            raise StoreError(f"the store {location.name} has been removed: open another one")
        try:
            with engine.connect() as plain_connection:
                connection = plain_connection.execution_options(writes=True)
                with connection.begin():
                    return work(connection)
        except (SQLAlchemyError, sqlite3.Error) as error:
            if not _is_passing(error) or time.monotonic() >= deadline:
                raise explained(error, location) from error
            time.sleep(random.uniform(0.002, 0.05))


def read(engine: Engine, location: StoreLocation, work: Callable[[Connection], Result]) -> Result:
    """Runs `work` on one consistent view of the store. Raises `StoreError`."""
    try:
        with engine.connect() as connection, connection.begin():
            return work(connection)
    except (SQLAlchemyError, sqlite3.Error) as error:
        raise explained(error, location) from error


def explained(error: Exception, location: StoreLocation) -> StoreError:
    """A database's error as one sentence for the user, with what to do next."""
    name = location.name
    original = error.orig if isinstance(error, DBAPIError) else error
    first_line = (str(original).strip() or type(original).__name__).splitlines()[0]
    if isinstance(original, sqlite3.Error):
        code = getattr(original, "sqlite_errorcode", 0) & 0xFF
        sentence = {
            sqlite3.SQLITE_FULL: "has no room left: free disk space, what is stored is intact",
            sqlite3.SQLITE_READONLY: "is read-only: make it writable or name another store",
            sqlite3.SQLITE_BUSY: "is held by another process: try again, or end that process",
            sqlite3.SQLITE_LOCKED: "is held by another process: try again, or end that process",
            sqlite3.SQLITE_NOTADB: "is no SQLite file: name another store",
            sqlite3.SQLITE_CORRUPT: "is damaged: keep a copy, and recover it with sqlite3 .recover",
            sqlite3.SQLITE_CANTOPEN: "cannot be opened: check that its folder exists and is yours",
            sqlite3.SQLITE_IOERR: f"cannot be reached on its disk ({first_line}): check the disk",
        }.get(code, f"refused ({first_line})")
        return StoreError(f"the store {name} {sentence}")
    state = getattr(original, "sqlstate", None)
    sentence = {
        "53100": "has no room left: free disk space on the server, what is stored is intact",
        "25006": "is read-only: make it writable or name another store",
        "42501": f"refuses this user ({first_line}): grant the right or name another user",
        None: f"cannot be reached ({first_line}): check the URL and that the server runs",
    }.get(state, f"refused ({first_line})")
    return StoreError(f"the store {name} {sentence}")


def _is_passing(error: Exception) -> bool:
    original = error.orig if isinstance(error, DBAPIError) else error
    if isinstance(original, sqlite3.Error):
        return getattr(original, "sqlite_errorcode", 0) & 0xFF in _BUSY
    return getattr(original, "sqlstate", None) in _POSTGRES_RETRIED


def _begin(connection: Connection) -> None:
    # A deferred transaction that turns to writing fails at once, however long the timeout, if
    # another process has written since; an immediate one waits its turn.
    immediate = connection.get_execution_options().get("writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")


def _tune(connection: sqlite3.Connection, *, read_only: bool, timeout_s: float) -> None:
    connection.execute("PRAGMA foreign_keys = ON")
    if read_only:
        return
    # Deleted text is overwritten with zeros, not left in free pages.
    connection.execute("PRAGMA secure_delete = ON")
    # The switch to WAL does not wait for other processes that open the same fresh file.
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            [mode] = connection.execute("PRAGMA journal_mode = WAL").fetchone()
            break
        except sqlite3.OperationalError as error:
            if not _is_passing(error) or time.monotonic() >= deadline:
                raise
            time.sleep(random.uniform(0.002, 0.05))
    # Some network file systems have no WAL; the old journal needs the full care.
    connection.execute(f"PRAGMA synchronous = {'NORMAL' if mode == 'wal' else 'FULL'}")


def _make_file(path: Path) -> None:
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    except IsADirectoryError as error:
        raise StoreError(f"the store {path} is a folder: name a file") from error
    except OSError as error:
        reason = error.strerror or str(error)
        raise StoreError(
            f"the store {path} cannot be written ({reason}): make it writable or name another store"
        ) from error


def _sqlite_uri(path: Path, *, read_only: bool) -> str:
    uri = f"file:{quote(str(path.absolute()))}"
    if not read_only:
        return f"{uri}?mode=rw"
    # Without a log beside it and no right to make one, the file is all there is to read.
    has_log = path.with_name(path.name + "-wal").exists()
    frozen = not has_log and not os.access(path.parent, os.W_OK)
    return f"{uri}?mode=ro" + ("&immutable=1" if frozen else "")


def _open_postgres(location: StoreLocation, *, read_only: bool, timeout_s: float) -> Engine:
    assert location.url is not None
    try:
        url = make_url(location.url)
        given = url.query.get("options", "")
        options = f"{given if isinstance(given, str) else ' '.join(given)} -c lock_timeout="
        options += f"{int(timeout_s * 1000)}"
        if read_only:
            options += " -c default_transaction_read_only=on"
        arguments: dict[str, str | int] = {"options": options}
        if "connect_timeout" not in url.query:
            arguments["connect_timeout"] = max(2, int(timeout_s))
        return create_engine(url, pool_pre_ping=True, connect_args=arguments)
    except ModuleNotFoundError as error:
        raise ImportError(
            'a PostgreSQL store needs a driver: pip install "rerail[postgres]"'
        ) from error
    except (SQLAlchemyError, ValueError) as error:
        raise ValueError(
            f"the URL of the store {location.name} cannot be read: write "
            "postgresql://USER:PASSWORD@HOST:PORT/DATABASE"
        ) from error
