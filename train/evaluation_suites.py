"""Prompt sets by name for the evaluation: the sandbox's suites, public sets, files."""

from collections.abc import Callable
from pathlib import Path

from .evaluation import Suite
from .prompt_sets import SETS, load_set
from .prompts import PromptRecord, load_prompts, sandbox_prompts
from .sandbox.conversations import multi_turn, with_tools
from .sandbox.kinds import Kind, Split

SANDBOX_NUM = 100
"""Prompts of each kind where nothing else is said."""


def _of_kind(kind: Kind) -> Callable[[int, int], list[PromptRecord]]:
    return lambda num, seed: sandbox_prompts(Split.TEST, kind, num=num, seed=seed)


def _multi_turn(num: int, seed: int) -> list[PromptRecord]:
    return [PromptRecord.from_sandbox(each) for each in multi_turn(Split.TEST, num, seed)]


def _with_tools(num: int, seed: int) -> list[PromptRecord]:
    return [PromptRecord.from_sandbox(each) for each in with_tools(Split.TEST, num, seed)]


SANDBOX_SUITES: dict[str, Callable[[int, int], list[PromptRecord]]] = {
    "sandbox-harmful": _of_kind(Kind.HARMFUL),
    "sandbox-harmless": _of_kind(Kind.HARMLESS),
    "sandbox-lookalike": _of_kind(Kind.LOOKALIKE),
    "sandbox-task": _of_kind(Kind.TASK),
    "sandbox-multi-turn": _multi_turn,
    "sandbox-tools": _with_tools,
}
"""From the number of prompts of each kind and a seed; topics held out from training."""


def suites_named(names: tuple[str, ...], *, num: int | None = None, seed: int = 0) -> list[Suite]:
    """The suites of these names; `sandbox` stands for all of the sandbox's.

    Raises `PromptFileError` (a ValueError) for a name that is none, and for a set that cannot be
    had.
    """
    found: list[Suite] = []
    for name in names:
        wanted = SANDBOX_SUITES if name == "sandbox" else {name: SANDBOX_SUITES.get(name)}
        for suite, draw in wanted.items():
            if draw is not None:
                prompts = draw(num or SANDBOX_NUM, seed)
            elif suite.partition("=")[0] in SETS:
                suite, _, path = suite.partition("=")
                prompts = load_set(suite, Path(path) if path else None)[:num]
            else:
                prompts = load_prompts(suite, num=num, seed=seed)
            label = Path(suite).stem if Path(suite).suffix else suite
            found.append(Suite(label, tuple(prompts)))
    return found
