"""Keys and passwords on a command line or in a URL: in no message and in no file."""

from pathlib import Path

import pytest
from command_line import CommandLine

SECRET = "kept-from-everyone-0123456789"
NOBODY = "http://127.0.0.1:9/v1"

COMMANDS = {
    "a database's password": (
        "trace", "list", "--store", f"postgresql://me:{SECRET}@127.0.0.1:9/traces",
    ),
    "a database's password among its options": (
        "trace", "list", "--store", f"postgresql://127.0.0.1:9/traces?user=me&password={SECRET}",
    ),
    "a judge's key": (
        "eval", "--out", "results", "--prompts", "p.jsonl", "--arms", "base", "--judge", "rubric",
        "--judge-model", "m", "--judge-url", NOBODY, "--judge-api-key", SECRET,
        "--max-new-tokens", "4",
    ),
    "a key in an upstream's address": (
        "run", "--model", f"http://me:{SECRET}@127.0.0.1:9/v1", "hello",
        "--upstream-retries", "0",
    ),
    "a server's key beside a wrong option": (
        "serve", "--api-key", SECRET, "--port", "-1",
    ),
    "a server's key that is too short for one": (
        "serve", "--api-key", SECRET[:8],
    ),
}  # fmt: skip


SLOW = "a judge's key"


@pytest.mark.parametrize(
    "name",
    [pytest.param(each, marks=pytest.mark.slow) if each == SLOW else each for each in COMMANDS],
)
def test_a_command_that_fails_says_no_secret(name: str, tmp_path: Path) -> None:
    rerail = CommandLine(tmp_path)
    (tmp_path / "p.jsonl").write_text('{"request": "hi", "kind": "harmless"}\n')
    done = rerail(*COMMANDS[name])
    assert done.code in (1, 2), done
    assert SECRET[:8] not in done.out + done.err
    for path in tmp_path.rglob("*"):
        assert not path.is_file() or SECRET.encode() not in path.read_bytes(), path
