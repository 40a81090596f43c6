"""What a command needs is said before it begins, by the name of the extra that brings it."""

import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from rerail.serve import extras

PYPROJECT = Path(__file__).parents[2] / "pyproject.toml"


@pytest.mark.parametrize("extra", extras.MODULES)
def test_the_modules_are_those_that_the_extra_brings(extra: str) -> None:
    declared = tomllib.loads(PYPROJECT.read_text())["project"]["optional-dependencies"][extra]
    names = {line.split(">")[0].strip().lower() for line in declared}
    brought = packages_distributions()
    for module in extras.MODULES[extra]:
        assert names & {name.lower().replace("_", "-") for name in brought[module]}, module
    assert len(names) == len(extras.MODULES[extra])


def test_what_is_missing_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    extras.need("serve", "eval")
    monkeypatch.setitem(extras.MODULES, "eval", ("torch", "no_such_module"))
    with pytest.raises(ImportError, match=r"needs no_such_module: pip install 'rerail\[eval\]'"):
        extras.need("eval")


WITHOUT_EXTRAS = """
import contextlib, importlib.abc, io, sys

class Missing(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {modules!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Missing())
from rerail.serve.cli import COMMANDS, main

for path in COMMANDS:
    with contextlib.redirect_stdout(io.StringIO()):
        code = main([*path.split(), "--help"])
    if code:
        sys.exit(f"rerail {{path}} --help: exit code {{code}}")
"""


def test_every_commands_help_needs_no_extra() -> None:
    modules = {"textual", "psycopg", *(each for names in extras.MODULES.values() for each in names)}
    code = WITHOUT_EXTRAS.format(modules=modules)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
