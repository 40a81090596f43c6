"""The built wheel, installed with each extra into an environment of its own, as a user has it.

Slow, since every environment is new; `python -m pytest -m slow tests/test_installs.py`.
"""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from checkout import ROOT, needs_checkout, tracked
from vllm_server import VllmServer

ENVIRONMENT = {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800), needs_checkout]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from what is tracked and what is new, in a copy: no build folder is left behind."""
    source, built = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("built")
    for name in tracked():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_bytes((ROOT / name).read_bytes())
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(built)]
    subprocess.run([*command, str(source)], check=True, capture_output=True)
    (found,) = built.glob("*.whl")
    return found


@dataclass(frozen=True)
class Installed:
    """An environment with the wheel in it."""

    folder: Path

    def run(self, *arguments: str, program: str = "rerail") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(self.folder / "bin" / program), *arguments],
            cwd=self.folder,
            env={**os.environ, **ENVIRONMENT, "XDG_DATA_HOME": str(self.folder)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )


def install(wheel: Path, extras: str, folder: Path) -> Installed:
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    new = Installed(folder)
    constraints = str(ROOT / "constraints.txt")
    done = new.run("install", "-q", "-c", constraints, f"{wheel}{extras}", program="pip")
    assert done.returncode == 0, done.stderr
    return new


@pytest.fixture(scope="module")
def base(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    return install(wheel, "", tmp_path_factory.mktemp("base") / "venv")


def has(installed: Installed, module: str) -> bool:
    return installed.run("-c", f"import {module}", program="python").returncode == 0


@pytest.mark.parametrize(
    ("command", "extra"),
    [
        (["run", "Hi"], "hf"),
        (["serve"], "serve"),
        (["trace", "browse"], "viewer"),
        (["train", "rounds", "--sandbox", "--out", "r"], "train"),
        (["eval", "--out", "e"], "eval"),
        (["distill", "report", "--traces", "t", "--detector", "d", "--out", "o"], "distill"),
        (["trace", "list", "--store", "postgresql://127.0.0.1/none"], "postgres"),
    ],
)
def test_the_base_names_the_extra_that_a_command_needs(
    base: Installed, command: list[str], extra: str
) -> None:
    done = base.run(*command)
    assert done.returncode == 1
    assert f"rerail[{extra}]" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.vllm
def test_the_base_guards_a_real_vllm_server(base: Installed, vllm_server: VllmServer) -> None:
    assert not has(base, "torch") and not has(base, "transformers")
    done = base.run("run", "--json", "--model", f"{vllm_server.url}/v1", "What is 12 + 30?")
    assert done.returncode == 0, done.stderr
    assert '"scanned": "all"' in done.stdout


@pytest.mark.parametrize(
    ("extra", "command"),
    [
        ("hf", ["run", "What is 12 + 30?"]),
        ("hf,serve", ["serve", "--help"]),
        ("train", ["train", "rollouts", "--num", "2", "--out", "rollouts"]),
        ("eval", ["eval", "--num-prompts", "1", "--arms", "base", "--out", "results"]),
        ("distill", ["distill", "shipped", "--help"]),
        ("viewer", ["trace", "browse", "--help"]),
        ("otel", ["--help"]),
    ],
)
def test_each_extra_brings_what_its_commands_need(
    wheel: Path, tmp_path: Path, extra: str, command: list[str]
) -> None:
    installed = install(wheel, f"[{extra}]", tmp_path / "venv")
    assert installed.run("--help").returncode == 0
    done = installed.run(*command)
    assert done.returncode == 0, done.stderr


def test_the_extra_postgres_brings_the_driver(wheel: Path, tmp_path: Path) -> None:
    installed = install(wheel, "[postgres]", tmp_path / "venv")
    done = installed.run("trace", "list", "--store", "postgresql://127.0.0.1:9/none")
    assert done.returncode == 1
    assert "pip install" not in done.stderr and "127.0.0.1" in done.stderr
