"""The schema: as declared, as migrated, and as found in the wrong hands."""

# pyright: reportPrivateUsage=false

import shutil
import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, text

import rerail.guard.migrations
from rerail.guard import store_migrate
from rerail.guard.store import Store
from rerail.guard.store_errors import StoreError
from rerail.guard.store_migrate import upgrade
from rerail.guard.store_schema import METADATA, REVISIONS, VERSION_TABLE
from rerail.guard.traces import Trace


def test_the_revisions_are_those_of_the_migrations() -> None:
    [folder] = rerail.guard.migrations.__path__
    scripts = ScriptDirectory(folder).walk_revisions()
    assert [script.revision for script in scripts] == list(reversed(REVISIONS))


def test_migrations_give_the_declared_schema(either_store: Store) -> None:
    """A column added to the schema and forgotten in the migrations would break old stores only."""
    with either_store._engine.connect() as connection:
        options = {"version_table": VERSION_TABLE, "compare_type": True}
        context = MigrationContext.configure(connection, opts=options)
        assert compare_metadata(context, METADATA) == []
        assert connection.execute(text(f"SELECT version_num FROM {VERSION_TABLE}")).all() == [
            (REVISIONS[-1],)
        ]


def test_a_migration_that_fails_leaves_nothing_behind() -> None:
    engine = create_engine("sqlite://")
    with engine.connect() as connection:
        connection.connection.driver_connection.isolation_level = None  # type: ignore[union-attr]
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        upgrade(connection)
        connection.connection.rollback()
        names = connection.exec_driver_sql("SELECT name FROM sqlite_master").all()
        assert names == []
    engine.dispose()


@pytest.fixture
def filled(tmp_path: Path, make_trace: Callable[..., Trace]) -> Path:
    with Store(tmp_path / "rerail.db") as store:
        store.add(make_trace(1))
    return tmp_path / "rerail.db"


def change(path: Path, sql: str) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute(sql)
    connection.close()


def test_a_store_of_a_newer_schema_is_refused_and_left_alone(
    filled: Path, make_trace: Callable[..., Trace]
) -> None:
    change(filled, f"UPDATE {VERSION_TABLE} SET version_num = '9999'")
    for read_only in (False, True):
        with pytest.raises(
            StoreError,
            match=r"was written by a newer rerail: upgrade rerail or name another store$",
        ):
            Store(filled, read_only=read_only)
    change(filled, f"UPDATE {VERSION_TABLE} SET version_num = '{REVISIONS[-1]}'")
    with Store(filled) as store:
        assert store.get(make_trace(1).id) == make_trace(1)


def test_a_newer_schema_is_refused_on_postgresql(postgres_url: str) -> None:
    with Store(postgres_url) as store:
        versions = (("9999", REVISIONS[-1]), (REVISIONS[-1], "9999"))
        for new, old in versions:
            statement = text(f"UPDATE {VERSION_TABLE} SET version_num = :new")
            with store._engine.begin() as connection:
                connection.execute(statement, {"new": new})
            if old != "9999":
                with pytest.raises(StoreError, match="newer rerail"):
                    Store(postgres_url)
        Store(postgres_url).close()


def test_a_database_of_another_program_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "bookmarks.db"
    change(path, "CREATE TABLE bookmarks (url TEXT)")
    with pytest.raises(StoreError, match="is a database of another program"):
        Store(path)
    with sqlite3.connect(path) as connection:
        names = connection.execute("SELECT name FROM sqlite_master").fetchall()
    connection.close()
    assert names == [("bookmarks",)]


def test_a_file_that_is_no_database_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("These are my notes, not a database.\n" * 40)
    before = path.read_bytes()
    with pytest.raises(StoreError, match=r"notes.txt is no SQLite file: name another store$"):
        Store(path)
    assert path.read_bytes() == before


NEXT = """
import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.add_column("traces", sa.Column("note", sa.String, nullable=False, server_default="old"))
"""


@pytest.fixture(params=["sqlite", "postgresql"])
def first_schema(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Where a store of the first schema may lie; a later one is taken back at the end."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'rerail.db'}"
        return
    url: str = request.getfixturevalue("postgres_url")
    with Store(url):
        yield url
    engine = create_engine(url.replace("postgresql://", "postgresql+psycopg://"))
    with engine.begin() as connection:
        connection.execute(text("ALTER TABLE traces DROP COLUMN IF EXISTS note"))
        connection.execute(text(f"UPDATE {VERSION_TABLE} SET version_num = '{REVISIONS[-1]}'"))
    engine.dispose()
    with Store(url) as store:
        store.purge(everything=True)


def test_a_later_schema_keeps_what_the_first_one_stored(
    first_schema: str,
    make_trace: Callable[..., Trace],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The way up that every later version has to take, with a next version made for the test."""
    old = [make_trace(number) for number in range(3)]
    with Store(first_schema) as store:
        assert store._engine.dialect.name in first_schema
        for trace in old:
            store.add(trace)
        pairs = list(store.pairs())
    folder = tmp_path / "migrations"
    shutil.copytree(store_migrate.MIGRATIONS, folder)
    (folder / "versions" / "v0002_next.py").write_text(NEXT)
    monkeypatch.setattr(store_migrate, "MIGRATIONS", folder)
    monkeypatch.setattr(store_migrate, "REVISIONS", (*REVISIONS, "0002"))

    with pytest.raises(StoreError, match="of an older version: open it once for writing"):
        Store(first_schema, read_only=True)
    with ThreadPoolExecutor(4) as threads:  # several replicas, started at once
        for opened in threads.map(lambda _: Store(first_schema), range(4)):
            opened.close()
    with Store(first_schema) as store:
        assert [store.get(trace.id) for trace in old] == old
        assert list(store.pairs()) == pairs
        store.add(make_trace(7))
        with store._engine.connect() as connection:
            notes = connection.execute(text("SELECT note FROM traces")).scalars().all()
        assert notes == ["old"] * 4

    monkeypatch.undo()
    with pytest.raises(StoreError, match="newer rerail"):
        Store(first_schema)
