"""Brings a store's schema up to date when it is opened, under a lock, in one transaction.

A store of a newer schema is refused and left alone: an older rerail cannot know what it would lose.
"""

from pathlib import Path

from sqlalchemy import Connection, Engine, inspect, text

from .store_engine import read, write
from .store_errors import StoreError
from .store_location import StoreLocation
from .store_schema import REVISIONS, VERSION_TABLE

MIGRATIONS = Path(__file__).parent / "migrations"
"""The folder of Alembic's scripts."""

_POSTGRES_LOCK = 0x7265_7261_696C  # "rerail"


def prepare(engine: Engine, location: StoreLocation, *, read_only: bool, timeout_s: float) -> None:
    """Makes sure that the store has this version's schema. Raises `StoreError`."""
    revision = read(engine, location, lambda connection: _revision(connection, location))
    if revision == REVISIONS[-1]:
        return
    if read_only:
        state = "empty" if revision is None else "of an older version"
        raise StoreError(
            f"the store {location.name} is {state}: open it once for writing to bring it up to date"
        )

    def upgrade_once(connection: Connection) -> None:
        if connection.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _POSTGRES_LOCK})
        # Another process may have been first, while this one waited for the lock.
        if _revision(connection, location) != REVISIONS[-1]:
            upgrade(connection)

    write(engine, location, timeout_s, upgrade_once)


def upgrade(connection: Connection, revision: str = "head") -> None:
    """Runs the migrations up to `revision` inside the connection's transaction."""
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    command.upgrade(config, revision)


def _revision(connection: Connection, location: StoreLocation) -> str | None:
    """The schema that the store has; `None` for an empty one."""
    inspector = inspect(connection)
    if not inspector.has_table(VERSION_TABLE):
        if inspector.has_table("traces") or (location.path and inspector.get_table_names()):
            raise StoreError(
                f"{location.name} is a database of another program: name another store"
            )
        return None
    revisions = connection.execute(text(f"SELECT version_num FROM {VERSION_TABLE}"))
    revision = revisions.scalars().first()
    if revision is not None and revision not in REVISIONS:
        raise StoreError(
            f"the store {location.name} was written by a newer rerail: upgrade rerail or name "
            "another store"
        )
    return revision
