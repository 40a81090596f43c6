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
    "a password with a slash in an upstream's address": (
        "run", "--model", f"http://me:{SECRET[:9]}/{SECRET[9:]}@127.0.0.1:9/v1", "hello",
    ),
    "a key behind an upstream's address": (
        "run", "--model", f"http://127.0.0.1:9/v1?key={SECRET}", "hello",
    ),
    "a password in the address of a model that another engine is to run": (
        "serve", f"http://me:{SECRET}@127.0.0.1:9/v1", "--engine", "vllm",
    ),
    "a password in an address in capitals": (
        "serve", f"HTTP://me:{SECRET}@127.0.0.1:9/v1", "--upstream-wait-s", "0",
    ),
    "a password in a replica's address": (
        "serve", "http://127.0.0.1:9", "--upstream-replica", f"http://me:{SECRET}@127.0.0.1:9",
    ),
    "a password in a judge's address": (
        "eval", "--out", "results", "--prompts", "p.jsonl", "--arms", "base", "--judge", "rubric",
        "--judge-model", "m", "--judge-url", f"http://me:{SECRET}@127.0.0.1:9/v1",
    ),
    "a key behind a judge's address": (
        "eval", "--out", "results", "--prompts", "p.jsonl", "--arms", "base", "--judge", "rubric",
        "--judge-model", "m", "--judge-url", f"http://127.0.0.1:9/v1?key={SECRET}",
    ),
    "a password in the address of a teacher's judge": (
        "distill", "--from-store", "--out", "student", "--teacher", "judge", "--judge-model", "m",
        "--judge-url", f"http://me:{SECRET}@127.0.0.1:9/v1",
    ),
    "a password in the address of a vLLM server": (
        "train", "watch", "--out", "watch", "--promotion", "stack",
        "--vllm", f"http://me:{SECRET}@127.0.0.1:9",
    ),
    "a key in a line of the settings that is no YAML": (
        "--config", "wrong.yaml", "serve",
    ),
    "a key with a blank in it, in the file of keys": (
        "serve", "--api-key-file", "keys.txt",
    ),
    "a database's password with a slash in it": (
        "trace", "list", "--store", f"postgresql://me:a/{SECRET}@127.0.0.1:9/traces",
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
    (tmp_path / "wrong.yaml").write_text(f'serve:\n  api-key: "{SECRET}" "x"\n')
    (tmp_path / "keys.txt").write_text(f"team 0123456789abcdef {SECRET}\n")
    done = rerail(*COMMANDS[name])
    for given in ("wrong.yaml", "keys.txt"):
        (tmp_path / given).unlink()
    assert done.code in (1, 2), done
    assert SECRET[:8] not in done.out + done.err
    for path in tmp_path.rglob("*"):
        assert not path.is_file() or SECRET.encode() not in path.read_bytes(), path
