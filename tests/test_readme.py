"""The README's snippets run as they stand there, one after another, as a reader would type them."""

import re
import shlex
import socket
import sys
from pathlib import Path

import pytest
from checkout import ROOT, needs_checkout
from command_line import CommandLine
from server_process import running_command

README = ROOT / "README.md"


SERVE = "import sys; from rerail.serve.cli import main; sys.exit(main())"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def blocks(language: str) -> list[str]:
    found = re.findall(rf"^```{language}\n(.*?)^```$", README.read_text(), re.DOTALL | re.MULTILINE)
    assert found, f"the README shows no {language}"
    return found


def test_python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    names: dict[str, object] = {}
    for number, block in enumerate(blocks("python"), start=1):
        exec(compile(block, f"README.md, snippet {number}", "exec"), names)
    assert names["result"].answer  # type: ignore[attr-defined]
    assert (tmp_path / "traces.db").is_file()


def test_client_of_the_server(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    port = free_port()
    command = [sys.executable, "-c", SERVE, "serve", "--port", str(port), "--no-store"]
    with running_command(command):
        for block in blocks("py"):
            exec(block.replace("127.0.0.1:8000", f"127.0.0.1:{port}"), {})
    assert len(capsys.readouterr().out.split()) > 10


def test_commands(tmp_path: Path) -> None:
    rerail = CommandLine(tmp_path)
    lines = [line for block in blocks("console") for line in block.splitlines()]
    assert all(line.startswith("$ rerail ") for line in lines)
    for line in lines:
        done = rerail(*shlex.split(line)[2:])
        assert done.code == 0, (line, done.err)


@needs_checkout
def test_links_lead_somewhere() -> None:
    targets = re.findall(r"\]\(([^)#:]+)\)", README.read_text())
    assert targets
    assert [target for target in targets if not (README.parent / target).exists()] == []
