"""The command line without any model: help, options, settings from a file, mistakes."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from command_line import CommandLine, refused

from rerail.serve.cli import COMMANDS

TRACE = {"id": "t", "request": "How?", "think": "One. Two.", "steps": [[0, 4], [5, 9]]}


def test_help_lists_every_command(rerail: CommandLine) -> None:
    done = rerail("--help")
    assert (done.code, done.err) == (0, "")
    for path in COMMANDS:
        if " " not in path:
            assert f" {path} " in done.out


@pytest.mark.parametrize("path", [path for path, (function, _) in COMMANDS.items() if function])
def test_every_command_shows_examples(rerail: CommandLine, path: str) -> None:
    done = rerail(*path.split(), "--help")
    assert (done.code, done.err) == (0, "")
    assert f"rerail {path}" in done.out.partition("Examples")[2]


def test_help_loads_nothing_heavy() -> None:
    """Catches an import at the top of a command's file that makes every call slow."""
    code = (
        "import sys; from rerail.serve.cli import main; main(['--help'])\n"
        "heavy = {'numpy', 'torch', 'transformers', 'onnxruntime', 'sqlalchemy', 'tokenizers'}\n"
        "sys.exit(str(heavy & set(sys.modules)) if heavy & set(sys.modules) else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_flags_of_the_guard_have_their_fields_words(rerail: CommandLine) -> None:
    shown = " ".join(rerail("run", "--help").out.replace("│", " ").split())
    assert "--policy" in shown and "--hold" in shown and "--no-guard" in shown
    assert "What follows a cue when the budget of its channel is spent." in shown


def test_completion_is_installed(rerail: CommandLine) -> None:
    done = rerail("--install-completion")
    assert done.code == 0, done.err
    scripts = [path for path in rerail.home.rglob("rerail") if path.is_file()]
    assert "--keep-pairs" in scripts[0].read_text()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["run", "--bogus", "x"], ["--bogus", "rerail run --help"]),
        (["trace", "show", "--stor", "x", "y"], ["--store", "rerail trace show --help"]),
        (["bogus"], ["bogus"]),
        (["trace", "bogus"], ["bogus"]),
        (["run", "--threshold", "1.5", "x"], ["threshold is 1.5", "from 0 to 1"]),
        (["run", "--threshold-inside", "-0.1", "x"], ["threshold_inside", "from 0 to 1"]),
        (["run", "--hold", "0", "x"], ["hold is 0"]),
        (["run", "--policy", "shout", "x"], ["shout", "intervene"]),
        (["run", "--temperature", "-1", "x"], ["--temperature is -1"]),
        (["run", ""], ["the prompt is empty"]),
        (["run", " \n"], ["the prompt is empty"]),
        (["run"], ["the prompt is empty"]),  # an empty pipe
        (["run", "x", "--file", "y"], ["drop one of them"]),
        (["run", "x", "--no-store", "--redact"], ["--no-store"]),
        (["serve", "--engine", "vllm", "--engine-args", "[1]"], ["--engine-args", "object"]),
        (["serve", "--engine-args", "{}"], ["--engine-args is for --engine vllm"]),
        (["detect", "--traces", "x.jsonl"], ["--out"]),
        (["detect", "--traces", "x", "--out", "y", "--threshold", "2"], ["threshold is 2"]),
        (["detect", "--traces", "x", "--out", "y", "--streams", "0"], ["--streams is 0"]),
        (["pairs", "purge"], ["--before", "--everything"]),
        (["pairs", "purge", "--before", "yesterday"], ["--before", "7d"]),
        (["pairs", "complete", "--batch-size", "0"], ["--batch-size is 0"]),
        (["trace", "list", "--min-score", "7"], ["min_score is 7"]),
        (["trace", "list", "--limit", "0"], ["limit is 0"]),
    ],
)
def test_wrong_use(rerail: CommandLine, arguments: list[str], words: list[str]) -> None:
    done = rerail(*arguments)
    refused(done, 2, *words)
    assert done.out == ""
    assert not rerail.store.exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["trace", "list"], ["there is no store at"]),
        (["pairs", "export", "--out", "p.jsonl"], ["there is no store at"]),
        (["pairs", "purge", "--everything"], ["there is no store at"]),
        (["detect", "--traces", "no.jsonl", "--out", "o"], ["no.jsonl"]),
        (["run", "--file", "no.txt"], ["no.txt"]),
        (["run", "x", "--store", "mysql://a/b"], ["mysql://", "not supported"]),
        (["run", "x", "--detector", "nobody"], ["nobody", "student, keywords"]),
        (["run", "x", "--triggers", "no.jsonl"], ["no.jsonl"]),
        (["pairs", "export", "--out", "nowhere/p.jsonl"], ["nowhere", "no such folder"]),
    ],
)
def test_what_is_not_there(rerail: CommandLine, arguments: list[str], words: list[str]) -> None:
    refused(rerail(*arguments), 1, *words)


class TestConfigFile:
    def test_its_options_apply_and_the_command_line_wins(self, rerail: CommandLine) -> None:
        (rerail.home / "traces.jsonl").write_text(json.dumps(TRACE) + "\n")
        config = rerail.home / "guard.yaml"
        config.write_text(
            "detect:\n  traces: traces.jsonl\n  out: from_file\n  detector: keywords\n"
            "  threshold_inside: null\npairs:\n  export:\n    format: parquet\n"
        )
        assert rerail("detect", "--config", config).code == 0
        assert rerail("--config", config, "detect", "--out", "from_flag").code == 0
        first, second = (rerail.home / name for name in ("from_file", "from_flag"))
        assert first.read_text() == second.read_text()
        assert json.loads(first.read_text())["id"] == "t"

    @pytest.mark.parametrize(
        ("text", "words"),
        [
            ("detct:\n  out: x\n", ["'detct'", "detect"]),
            ("detect:\n  threshhold: 0.5\n", ["threshhold"]),
            ("detect:\n  threshold: 1.5\n  traces: x\n  out: y\n", ["threshold is 1.5"]),
            ("detect: 3\n", ["detect"]),
            ("- detect\n", ["sections"]),
            ("detect: [\n", ["is no YAML"]),
        ],
    )
    def test_what_is_wrong_in_it(self, rerail: CommandLine, text: str, words: list[str]) -> None:
        config = rerail.home / "guard.yaml"
        config.write_text(text)
        refused(rerail("detect", "--config", config), 2, *words)

    def test_one_that_is_not_there(self, rerail: CommandLine) -> None:
        refused(rerail("detect", "--config", "no.yaml"), 2, "no.yaml")


def test_a_closed_pipe_is_no_error(tmp_path: Path) -> None:
    """`rerail ... | head -1` must not end in a traceback."""
    code = "from rerail.serve.cli import main; import sys; sys.exit(main(['run', '--help']))"
    line = f'"{sys.executable}" -c "{code}" | true'
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True)
    assert done.stderr == ""
