"""Public prompt sets by the names that people use for them, from the hub or from a file.

Each says where it lies, under which names its columns hold what, and which kind its rows are where
they do not say so. A local file of the same shape takes the hub's place: `name=FILE`.
"""

from dataclasses import dataclass
from pathlib import Path

from .prompt_rows import Columns, PromptFileError
from .prompts import PromptRecord, hub_prompts, read_prompts
from .sandbox.kinds import Kind


@dataclass(frozen=True, slots=True)
class PromptSet:
    """Where a public set lies and how its rows are read."""

    hub: str
    split: str
    kind: Kind
    """Of rows that say nothing themselves."""

    columns: Columns = Columns()  # noqa: RUF009  (frozen: sharing it is harmless)
    config: str | None = None


def _columns(request: str, topic: str = "category") -> Columns:
    """A set's own names first, then those of files that hold the same in this project's way."""
    plain = Columns()
    return Columns(
        request=(request, *plain.request),
        topic=(topic, *plain.topic),
        harmful=("label", *plain.harmful),
    )


SETS: dict[str, PromptSet] = {
    "jailbreakbench": PromptSet(
        "JailbreakBench/JBB-Behaviors",
        "harmful",
        Kind.HARMFUL,
        _columns("Goal", "Category"),
        "behaviors",
    ),
    "jailbreakbench-benign": PromptSet(
        "JailbreakBench/JBB-Behaviors",
        "benign",
        Kind.LOOKALIKE,
        _columns("Goal", "Category"),
        "behaviors",
    ),
    "strongreject": PromptSet(
        "walledai/StrongREJECT", "train", Kind.HARMFUL, _columns("forbidden_prompt")
    ),
    "harmbench": PromptSet(
        "walledai/HarmBench", "train", Kind.HARMFUL, _columns("prompt"), "standard"
    ),
    "xstest": PromptSet("walledai/XSTest", "test", Kind.LOOKALIKE, _columns("prompt", "type")),
    "wildjailbreak": PromptSet(
        "allenai/wildjailbreak", "train", Kind.HARMFUL, _columns("adversarial", "data_type"), "eval"
    ),
    "sorry-bench": PromptSet(
        "sorry-bench/sorry-bench-202503", "train", Kind.HARMFUL, _columns("turns")
    ),
    "or-bench": PromptSet(
        "bench-llm/or-bench", "train", Kind.LOOKALIKE, _columns("prompt"), "or-bench-hard-1k"
    ),
    "gsm8k": PromptSet("openai/gsm8k", "test", Kind.TASK, _columns("question"), "main"),
    "math-500": PromptSet(
        "HuggingFaceH4/MATH-500", "test", Kind.TASK, _columns("problem", "subject")
    ),
    "aime": PromptSet("HuggingFaceH4/aime_2024", "train", Kind.TASK, _columns("problem", "year")),
}
"""GPQA and HumanEval are not here: the first is gated and needs its choices shuffled, the second
runs code. Both go through lm-evaluation-harness or inspect_ai with a guarded model."""


def load_set(name: str, path: Path | None = None) -> list[PromptRecord]:
    """The set of this name from the hub, or from a file of the same shape.

    Raises `PromptFileError` where it is gated, offline or shaped otherwise.
    """
    if name not in SETS:
        raise PromptFileError(f"there is no prompt set {name!r}: use {', '.join(SETS)}, or a file")
    each = SETS[name]
    if path is not None:
        return read_prompts(path, kind=each.kind, columns=each.columns)
    return hub_prompts(
        each.hub, config=each.config, split=each.split, kind=each.kind, columns=each.columns
    )
