"""Where a store lives: a SQLite file, or a PostgreSQL database by URL."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

_POSTGRES_SCHEMES = ("postgresql", "postgres", "postgresql+psycopg")


@dataclass(frozen=True, slots=True)
class StoreLocation:
    """Exactly one of the two is set."""

    path: Path | None
    """The SQLite file."""

    url: str | None
    """SQLAlchemy's URL of the PostgreSQL database, password included: never print it."""

    @classmethod
    def parse(cls, url_or_path: str | Path) -> "StoreLocation":
        """From a path, `sqlite:///PATH` or `postgresql://...`; else raises `ValueError`."""
        text = str(url_or_path)
        if not text.strip():
            raise ValueError("the store has no name: give a file or a postgresql:// URL")
        if isinstance(url_or_path, Path) or "://" not in text:
            return cls(Path(text).expanduser(), None)
        scheme, rest = text.split("://", 1)
        if scheme == "sqlite":
            path = rest.removeprefix("/")
            if not path or path == ":memory:":
                raise ValueError("a store in memory would be lost: give sqlite:///PATH or a file")
            return cls(Path(path).expanduser(), None)
        if scheme not in _POSTGRES_SCHEMES:
            raise ValueError(
                f"a store at {scheme}:// is not supported: give a file (SQLite) or a "
                "postgresql:// URL"
            )
        return cls(None, f"postgresql+psycopg://{rest}")

    @property
    def name(self) -> str:
        """For messages: the file, or the URL without password and options."""
        if self.path is not None:
            return str(self.path)
        from sqlalchemy import make_url
        from sqlalchemy.exc import SQLAlchemyError

        try:
            # As it is read when it is opened: a password may hold what ends a host elsewhere.
            url = make_url(self.url or "").set(drivername="postgresql", query={})
        except (SQLAlchemyError, ValueError):
            return "postgresql://"
        return url._replace(password=None).render_as_string()


def default_store_path(environ: Mapping[str, str]) -> Path:
    """`$XDG_DATA_HOME/rerail/rerail.db`, by default under `~/.local/share`.

    A relative `XDG_DATA_HOME` is ignored, as the XDG base directory specification asks.
    """
    data_home = Path(environ.get("XDG_DATA_HOME", ""))
    if not data_home.is_absolute():
        home = environ.get("HOME")
        data_home = (Path(home) if home else Path.home()) / ".local" / "share"
    return data_home / "rerail" / "rerail.db"
