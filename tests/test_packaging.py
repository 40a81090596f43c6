"""What is in the package, and who may import whom."""

import ast
import gc
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

import pytest
from checkout import ROOT, needs_checkout, tracked

FOLDERS = ("guard", "distill", "train", "serve")
"""In the order in which they may import: each only those before it."""

HEAVY = {"torch", "transformers", "vllm"}

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
SETTINGS = PROJECT["tool"]["setuptools"]


def folder_of(package: str) -> str:
    """The folder of a package such as rerail.train.sandbox."""
    return package.removeprefix("rerail.").replace(".", "/")


@needs_checkout
def test_every_folder_with_code_is_listed() -> None:
    with_code = {
        str(Path(name).parent)
        for name in tracked()
        if name.endswith(".py") and name.split("/")[0] in FOLDERS
    }
    assert with_code <= {folder_of(package) for package in SETTINGS["packages"]}


@needs_checkout
def test_every_other_file_is_package_data() -> None:
    """Catches a model or a corpus that works in the checkout and is missing from the wheel."""
    folders = {folder_of(package): package for package in SETTINGS["packages"]}
    left_out = []
    for name in tracked():
        if name.split("/")[0] not in FOLDERS or name.endswith(".py"):
            continue
        path = Path(name)
        package = next(folders[str(each)] for each in path.parents if str(each) in folders)
        inside = path.relative_to(folder_of(package)).as_posix()
        patterns = SETTINGS["package-data"].get(package, [])
        if not any(fnmatch(inside, pattern.removeprefix("**/")) for pattern in patterns):
            left_out.append(name)
    assert left_out == []


@pytest.fixture(scope="module")
def modules() -> list[tuple[Path, ast.Module]]:
    """The parsed source of every module.

    Before 3.11.8 Python counts the depth of all parsing threads in one number, and a garbage
    collection in the middle of a tree may change the thread: a SystemError, now and then
    (python/cpython#106905). So none happens here.
    """
    paths = [path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*.py"))]
    gc.disable()
    try:
        return [(path.relative_to(ROOT), ast.parse(path.read_text(), str(path))) for path in paths]
    finally:
        gc.enable()


def imported(path: Path, tree: ast.AST) -> Iterator[tuple[str, ast.stmt]]:
    """The full names of all modules that a file imports, whereever in it."""
    package = ["rerail", *path.parent.parts]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, node
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            yield ".".join([*base, *([node.module] if node.module else [])]), node


def inside_functions(tree: ast.Module) -> set[ast.stmt]:
    return {
        statement
        for node in ast.walk(tree)
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
        for statement in ast.walk(node)
        if isinstance(statement, (ast.Import, ast.ImportFrom))
    }


def for_type_checkers(tree: ast.Module) -> set[ast.stmt]:
    return {
        statement
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for statement in ast.walk(node)
        if isinstance(statement, (ast.Import, ast.ImportFrom))
    }


@needs_checkout
def test_imports_go_one_way(modules: list[tuple[Path, ast.Module]]) -> None:
    """guard <- distill <- train <- serve; serve reaches beyond the guard in its commands only.

    The modules of `rerail train` are loaded by their command alone: they are inside it as a whole,
    since their options are the settings of what they call.
    """
    wrong = []
    for path, tree in modules:
        folder = path.parts[0]
        allowed = {"guard"} if folder == "serve" else set(FOLDERS[: FOLDERS.index(folder)])
        within = inside_functions(tree)
        for name, node in imported(path, tree):
            parts = name.split(".")
            if parts[0] in FOLDERS:
                wrong.append(f"{path}: imports {name} under a bare name")
            if parts[0] != "rerail" or len(parts) == 1 or parts[1] in (*allowed, folder):
                continue
            commands = path.stem.startswith(("cli_train", "rollout_"))
            reaches = commands or node in within or node in for_type_checkers(tree)
            if folder != "serve" or not reaches:
                wrong.append(f"{path}:{node.lineno}: imports {name}")
    assert wrong == []


@needs_checkout
def test_the_guard_needs_no_model_library_on_import(
    modules: list[tuple[Path, ast.Module]],
) -> None:
    """torch and the like only where their names say so: model.py and the backends."""
    wrong = [
        f"{path}:{node.lineno}: imports {name}"
        for path, tree in modules
        if path.parts[0] == "guard" and path.stem != "model"
        if not path.stem.startswith("backend_")
        for name, node in imported(path, tree)
        if name.split(".")[0] in HEAVY and node not in for_type_checkers(tree)
    ]
    assert wrong == []


@pytest.mark.parametrize("module", ["rerail.guard", "rerail.serve.cli"])
def test_a_fresh_interpreter_loads_no_model_library(module: str) -> None:
    code = (
        f"import sys, {module}\n"
        f"loaded = {HEAVY!r} & set(sys.modules)\n"
        "sys.exit(f'loaded {loaded}' if loaded else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@needs_checkout
def test_no_file_is_named_like_another_library(
    modules: list[tuple[Path, ast.Module]],
) -> None:
    """`types.py` or `onnx.py` beside the code that imports the real one is a trap."""
    taken = set(sys.stdlib_module_names) | HEAVY | {"onnx", "onnxruntime", "tokenizers", "rich"}
    assert [str(path) for path, _ in modules if path.stem in taken] == []


UNPINNED = {"vllm", "harness"}
"""Extras that are not part of `all` and bring pins of their own that clash with ours."""


@needs_checkout
def test_every_dependency_is_pinned() -> None:
    pinned = {
        line.split("==")[0].lower().replace("_", "-")
        for line in (ROOT / "constraints.txt").read_text().splitlines()
        if line and not line.startswith("#")
    }
    project = PROJECT["project"]
    wanted = [*project["dependencies"]]
    for extra, requirements in project["optional-dependencies"].items():
        wanted += requirements if extra not in UNPINNED else []
    names = {
        requirement.split("[")[0].split(">")[0].split("=")[0].split("<")[0].strip().lower()
        for requirement in wanted
    } - {"rerail"}
    assert names - pinned == set()
