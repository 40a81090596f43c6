"""Steps marked by hand, kept as a labelled file: one branch of a trace a line.

A line has what every labelled trace has (`id`, `request`, `harmful`, `model`, `think`, `answer`,
`steps`, `labels`), and `marked`: which of its labels a person has given. The format wants a label
for every step up to the last one, so steps before a mark that have none are written as neutral, and
a safety trigger that the guard put in as what it is. A branch that was taken out is a line of its
own, since its cue is where the labels matter most.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from ..guard import Channel
from ..guard.json_text import json_of
from .story import Kind, Row, Story


class Mark(StrEnum):
    """What a person has said of a step, in the letters of labelled files."""

    CUE = "C"
    SAFE = "S"
    NEUTRAL = "N"


@dataclass(frozen=True, slots=True)
class LabelledBranch:
    """The chain of thought of one branch, cut into steps."""

    id: str
    """The trace's id; of a branch that was taken out with `-` and its number after it."""

    think: str
    spans: tuple[tuple[int, int], ...]
    rows: tuple[int, ...]
    """The story's rows that the spans belong to."""

    own: frozenset[int]
    """Rows that are on this branch alone: a mark on one of them writes its line."""


def branches(story: Story) -> list[LabelledBranch]:
    """The kept branch, then those that were taken out of the chain of thought."""
    kept: list[int] = []
    found: list[LabelledBranch] = []
    trace = story.trace
    for index, row in enumerate(story.rows):
        if row.channel is not Channel.REASONING or row.kind is Kind.REFUSAL:
            continue
        if row.kind is Kind.REMOVED:
            name = f"{trace.id}-{row.ordinal}"
            found.append(_branch(story, name, [*kept, index], frozenset({index})))
        else:
            kept.append(index)
    return [_branch(story, trace.id, kept, frozenset(kept)), *found]


def _branch(story: Story, name: str, rows: list[int], own: frozenset[int]) -> LabelledBranch:
    think = ""
    spans: list[tuple[int, int]] = []
    for index in rows:
        row = story.rows[index]
        text = step_text(row, story)
        think += (row.lead or " ") if think else ""
        start = len(think)
        think += text
        spans.append((start, len(think)))
    return LabelledBranch(name, think, tuple(spans), tuple(rows), own)


def step_text(row: Row, story: Story) -> str:
    """The step itself: of a branch that was taken out the cue, without what lies beyond it."""
    if row.kind is Kind.REMOVED and row.ordinal is not None:
        return story.trace.interventions[row.ordinal].cue.strip() or row.text.strip()
    return row.text.strip()


class LabelBook:
    """The labelled file. Every change is written at once and whole, so a crash loses nothing."""

    def __init__(self, path: Path) -> None:
        """Raises `ValueError` if the file is there and cannot be gone on with."""
        self.path = path
        self._read()

    def marks(self, story: Story) -> dict[int, Mark]:
        """By row: what has been marked in this trace."""
        marks: dict[int, Mark] = {}
        for branch, record in self._known(story):
            if record.get("think") != branch.think:
                continue
            labels = record.get("labels") or []
            for position in record.get("marked", range(len(labels))):
                if position < len(labels) and labels[position] in tuple(Mark):
                    marks[branch.rows[position]] = Mark(labels[position])
        return marks

    def harmful(self, story: Story) -> bool | None:
        """What the file says of the request; `None` where the trace is not in it."""
        known = self._known(story)
        return bool(known[0][1].get("harmful")) if known else None

    def write(self, story: Story, marks: Mapping[int, Mark], *, harmful: bool) -> None:
        """Puts the marks of one trace into the file, in place of those that it had.

        Raises `ValueError` for a mark on what is no step of the chain of thought, or a trace that
        was stored without its texts, and `OSError` if the file cannot be written.
        """
        known = branches(story)
        everywhere = {row for branch in known for row in branch.rows}
        if not set(marks) <= everywhere:
            raise ValueError("only steps of the chain of thought can be marked")
        if marks and not known[0].think.strip() and not any(b.think.strip() for b in known):
            raise ValueError("this trace was stored without its texts: there is nothing to label")
        records: dict[str, dict[str, Any] | None] = {}
        for branch in known:
            wanted = any(row in marks for row in branch.own)
            records[branch.id] = _record(story, branch, marks, harmful) if wanted else None
        self._replace(records)

    def _known(self, story: Story) -> list[tuple[LabelledBranch, dict[str, Any]]]:
        """The branches that are in the file, with what it says of them."""
        lines = self._read()
        if not any(name.startswith(story.trace.id) for name in lines):
            return []  # the rule while looking: no branch is cut into steps for it
        return [(each, lines[each.id]) for each in branches(story) if each.id in lines]

    def _read(self) -> dict[str, dict[str, Any]]:
        found: dict[str, dict[str, Any]] = {}
        for number, line in enumerate(self._lines(), start=1):
            if not line.strip():
                continue
            try:
                record = json_of(line)
                if not _is_sound(record):
                    raise ValueError("marks are positions of labels")
                found[str(record["id"])] = record
            except (ValueError, TypeError, KeyError, AttributeError) as error:
                raise ValueError(
                    f"{self.path} line {number} is no labelled trace: name another file"
                ) from error
        return found

    def _lines(self) -> list[str]:
        if not self.path.exists():
            return []
        return self.path.read_text(encoding="utf-8").split("\n")

    def _replace(self, records: Mapping[str, dict[str, Any] | None]) -> None:
        """Exchanges these lines and leaves all others as they are, byte by byte."""
        left = dict(records)
        lines: list[str] = []
        for line in self._lines():
            if not line.strip():
                continue
            name = str(json_of(line)["id"])
            if name not in records:
                lines.append(line)
            elif (record := left.pop(name, None)) is not None:
                lines.append(_line(record))
        lines += [_line(record) for record in left.values() if record is not None]
        draft = self.path.with_name(f".{self.path.name}.{os.getpid()}.part")
        try:
            with draft.open("w", encoding="utf-8") as file:
                file.write("".join(f"{line}\n" for line in lines))
                file.flush()
                os.fsync(file.fileno())
            os.replace(draft, self.path)
        finally:
            draft.unlink(missing_ok=True)


def _record(
    story: Story, branch: LabelledBranch, marks: Mapping[int, Mark], harmful: bool
) -> dict[str, Any]:
    marked = [position for position, row in enumerate(branch.rows) if row in marks]
    labels: list[str] = []
    for row in branch.rows[: marked[-1] + 1]:
        put_in = story.rows[row].kind is Kind.TRIGGER
        implied = Mark.SAFE if put_in else Mark.NEUTRAL
        labels.append(marks.get(row, implied).value)
    trace = story.trace
    kept = branch.id == trace.id
    return {
        "id": branch.id,
        "request": trace.request,
        "harmful": harmful,
        "model": trace.model,
        "think": branch.think,
        "answer": trace.answer.strip() if kept else "",
        "steps": [list(span) for span in branch.spans],
        "labels": labels,
        "marked": marked,
    }


def _is_sound(record: Mapping[str, Any]) -> bool:
    """Whether `labels` and `marked`, as far as they are there, can be gone through."""
    labels, marked = record.get("labels") or [], record.get("marked", [])
    return (
        isinstance(labels, list)
        and isinstance(marked, list)
        and all(isinstance(each, int) and each >= 0 for each in marked)
    )


def _line(record: Mapping[str, Any]) -> str:
    return json.dumps(record)
