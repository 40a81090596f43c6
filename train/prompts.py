"""What is asked of a model: one record for files, hub data sets and the sandbox.

A prompt keeps what is known about it (its kind, the answer expected), because every measure needs
that: a refusal is right or wrong only against the kind of its prompt.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .prompt_rows import DEFAULT_COLUMNS, Columns, PromptFileError, file_rows, hub_rows, record_of
from .sandbox.kinds import Kind, Split
from .sandbox.world import SandboxPrompt
from .sandbox.world import prompts as draw_prompts


@dataclass(frozen=True, slots=True)
class PromptRecord:
    """A conversation to answer, with what is known about it."""

    id: str
    """Unique within its source."""

    messages: tuple[dict[str, str], ...]
    """Chat messages; the last is the user's or a tool's."""

    kind: Kind
    topic: str = ""
    """A category, or where nothing is said the empty text."""

    expected: str | None = None
    """The right answer of a task, None for other kinds."""

    tools: tuple[dict[str, Any], ...] = ()
    """OpenAI-form tools that the conversation offers."""

    @property
    def harmful(self) -> bool:
        """Whether going along with the request harms."""
        return self.kind is Kind.HARMFUL

    @property
    def request(self) -> str:
        """The last message's text."""
        return self.messages[-1]["content"]

    def to_row(self) -> dict[str, object]:
        """One line of a prompt file."""
        return {
            "id": self.id,
            "messages": list(self.messages),
            "kind": str(self.kind),
            "topic": self.topic,
            "expected": self.expected,
            "tools": list(self.tools),
        }

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> "PromptRecord":
        """From what `to_row` gave. Raises KeyError, TypeError or ValueError if something is off;
        what users write is read by `read_prompts`."""
        return cls(
            **{
                **row,
                "messages": tuple(row["messages"]),
                "kind": Kind(row["kind"]),
                "tools": tuple(row["tools"]),
            }
        )

    @classmethod
    def from_sandbox(cls, prompt: SandboxPrompt) -> "PromptRecord":
        """From a prompt of the sandbox world."""
        return cls(
            prompt.prompt_id,
            prompt.messages,
            prompt.kind,
            prompt.topic,
            prompt.expected,
            prompt.tools,
        )

    def to_sandbox(self) -> SandboxPrompt:
        """The same as the sandbox's judge takes it; split and wrapping are not kept."""
        return SandboxPrompt(
            self.id,
            Split.TEST,
            self.kind,
            self.topic,
            "",
            self.messages,
            self.tools,
            self.expected,
        )


def sandbox_prompts(
    split: Split | str, kind: Kind | str | None = None, *, num: int = 200, seed: int = 0
) -> list[PromptRecord]:
    """`num` prompts of one kind of the sandbox world, or over all kinds in the world's shares."""
    return [
        PromptRecord.from_sandbox(each) for each in draw_prompts(split, kind, num=num, seed=seed)
    ]


def read_prompts(
    path: Path, *, kind: Kind | None = None, columns: Columns = DEFAULT_COLUMNS
) -> list[PromptRecord]:
    """The prompts of a JSONL, CSV or parquet file, by its suffix.

    `kind` is for rows that say nothing themselves (no `kind`, no `harmful`). Raises
    `PromptFileError` (a ValueError) naming the file and the line of the first fault.
    """
    return _collect(file_rows(path), path.stem, kind, columns)


def hub_prompts(
    name: str,
    *,
    config: str | None = None,
    split: str | None = None,
    kind: Kind | None = None,
    columns: Columns = DEFAULT_COLUMNS,
) -> list[PromptRecord]:
    """The prompts of a Hugging Face data set; without `split` it must have only one.

    Raises `PromptFileError` where the set is gated, missing or the hub cannot be reached.
    """
    return _collect(hub_rows(name, config, split), name.rpartition("/")[2], kind, columns)


def load_prompts(
    source: str, *, kind: Kind | None = None, num: int | None = None, seed: int = 0
) -> list[PromptRecord]:
    """From what a user writes: `sandbox`, `sandbox:train`, a file, or `owner/name[:split]`.

    `num` takes the first so many; the sandbox draws 200 without it. `sandbox` is its test split.
    Raises `PromptFileError` for what is none of these, and for rows that do not do.
    """
    name, _, split = source.partition(":")
    if name == "sandbox":
        if split and split not in list(Split):
            raise PromptFileError(f"{source!r}: the sandbox has the splits train and test")
        drawn = 200 if num is None else num
        return sandbox_prompts(split or Split.TEST, kind, num=drawn, seed=seed)
    if Path(source).exists():
        found = read_prompts(Path(source), kind=kind)
    elif Path(source).suffix in (".jsonl", ".csv", ".parquet") or name.count("/") != 1:
        raise PromptFileError(
            f"{source} is no file here, and no hub data set (owner/name or owner/name:split), "
            "nor `sandbox`: correct the name"
        )
    else:
        found = hub_prompts(name, split=split or None, kind=kind)
    return found[:num]


def _collect(
    rows: Iterator[tuple[str, int, dict[str, Any]]], stem: str, kind: Kind | None, columns: Columns
) -> list[PromptRecord]:
    """All rows as records; ids must differ, since results are kept by id."""
    records: list[PromptRecord] = []
    seen: dict[str, str] = {}
    for where, number, row in rows:
        record = PromptRecord(**record_of(row, where, f"{stem}-{number}", kind, columns))
        if record.id in seen:
            raise PromptFileError(
                f"{where}: id {record.id!r} is also that of {seen[record.id]}: give each its own"
            )
        seen[record.id] = where
        records.append(record)
    if not records:
        raise PromptFileError(f"{stem} holds no prompts")
    return records


def of_kind(records: Sequence[PromptRecord], *kinds: Kind) -> list[PromptRecord]:
    """Those of these kinds."""
    return [record for record in records if record.kind in kinds]
