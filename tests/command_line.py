"""Runs the command line in a process of its own, as a user does, away from the user's files."""

import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

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
        }

    @property
    def store(self) -> Path:
        """Where traces are kept by default."""
        return self.home / "data" / "rerail" / "rerail.db"

    def __call__(
        self,
        *arguments: str | Path,
        given: str = "",
        before: Sequence[str | Path] = (),
        timeout: float = 240,
    ) -> Done:
        """`given` is standard input; `before` a command that runs this one."""
        done = subprocess.run(
            [*before, *RUN, *arguments],
            input=given,
            capture_output=True,
            text=True,
            encoding="utf-8",
            cwd=self.home,
            env=self.environment,
            timeout=timeout,
        )
        return Done(done.returncode, done.stdout, done.stderr)

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


def refused(done: Done, code: int, *words: str) -> None:
    """One sentence on stderr, nothing else there, no traceback, the right exit code."""
    assert (done.code, done.err.count("\n")) == (code, 1), done
    assert done.err.startswith("rerail: "), done.err
    assert "Traceback" not in done.err and "unexpected" not in done.err
    for word in words:
        assert word in done.err, done.err
