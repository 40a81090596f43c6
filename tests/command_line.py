"""Runs the command line as a user does, away from the user's files.

Mostly in the tests' own process: a command of its own loads torch anew, which takes longer than
most of them work. What a process alone has (signals, exit, a terminal) is tested with `start`.
"""

import contextlib
import io
import logging
import os
import subprocess
import sys
import warnings
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

from rerail.serve.cli import main

RUN = (sys.executable, "-c", "import sys; from rerail.serve.cli import main; sys.exit(main())")


@dataclass(frozen=True)
class Done:
    """What a command left behind."""

    code: int
    out: str
    err: str


@dataclass(frozen=True)
class CommandLine:
    """A folder that is home, working folder and data folder at once."""

    home: Path

    @property
    def environment(self) -> dict[str, str]:
        kept = {name: os.environ[name] for name in ("PATH", "LANG", "TMPDIR") if name in os.environ}
        return kept | {
            "HOME": str(self.home),
            "XDG_DATA_HOME": str(self.home / "data"),
            "HF_HUB_OFFLINE": "1",
            "OMP_NUM_THREADS": "1",
            "PYTHONIOENCODING": "utf-8",
            "COLUMNS": "100",
            "SHELL": "/bin/bash",
        }

    @property
    def store(self) -> Path:
        """Where traces are kept by default."""
        return self.home / "data" / "rerail" / "rerail.db"

    def __call__(self, *arguments: str | Path, given: str = "") -> Done:
        """`given` is standard input."""
        out, err = _stream(), _stream()
        with (
            self._place(),
            _own_log(),
            warnings.catch_warnings(record=True) as warned,
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
            _given(given),
        ):
            # What a user would see; Python's own defaults hide the others.
            warnings.resetwarnings()
            for hidden in (DeprecationWarning, PendingDeprecationWarning, ImportWarning):
                warnings.simplefilter("ignore", hidden)
            warnings.simplefilter("ignore", ResourceWarning)
            code = main([str(each) for each in arguments])
        lines = [f"{each.filename}: {each.category.__name__}: {each.message}\n" for each in warned]
        return Done(code, _written(out), _written(err) + "".join(lines))

    @contextlib.contextmanager
    def _place(self) -> Generator[None]:
        before = dict(os.environ)
        os.environ.clear()
        os.environ.update(self.environment)
        try:
            with contextlib.chdir(self.home):
                yield
        finally:
            os.environ.clear()
            os.environ.update(before)

    def start(self, *arguments: str | Path) -> subprocess.Popen[str]:
        """The same, still running."""
        return subprocess.Popen(
            [*RUN, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=self.home,
            env=self.environment,
        )


def _stream() -> io.TextIOWrapper:
    return io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True)


def _written(stream: io.TextIOWrapper) -> str:
    stream.flush()
    stream.seek(0)
    return stream.read()


@contextlib.contextmanager
def _given(text: str) -> Generator[None]:
    before = sys.stdin
    sys.stdin = io.TextIOWrapper(io.BytesIO(text.encode()), encoding="utf-8")
    try:
        yield
    finally:
        sys.stdin = before


@contextlib.contextmanager
def _own_log() -> Generator[None]:
    """The command line says on its stderr what rerail logs; afterwards it is the tests' again."""
    logger = logging.getLogger("rerail")
    before = logger.handlers, logger.propagate
    try:
        yield
    finally:
        logger.handlers, logger.propagate = before


def refused(done: Done, code: int, *words: str) -> None:
    """One sentence on stderr, nothing else there, no traceback, the right exit code."""
    assert (done.code, done.err.count("\n")) == (code, 1), done
    assert done.err.startswith("rerail: "), done.err
    assert "Traceback" not in done.err and "unexpected" not in done.err
    for word in words:
        assert word in done.err, done.err
