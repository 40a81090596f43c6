"""A teacher that writes down what it has said, so that a run that stopped asks nothing twice."""

import json
from pathlib import Path

from .labels import Label, LabelledTrace, read_lines
from .teachers import Teacher


class RememberedTeacher:
    """Any teacher with an append-only file: one line a trace, `id` and `labels` (null: unsaid)."""

    def __init__(self, teacher: Teacher, path: Path) -> None:
        self.name = teacher.name
        self._teacher = teacher
        self._path = path
        self._known = _known_labels(path)

    def label(self, trace: LabelledTrace) -> tuple[Label, ...] | None:
        """What was said before, else what the teacher says now."""
        if trace.id in self._known:
            return self._known[trace.id]
        labels = self._teacher.label(trace)
        letters = None if labels is None else [str(label) for label in labels]
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"id": trace.id, "labels": letters}) + "\n")
        self._known[trace.id] = labels
        return labels


def _known_labels(path: Path) -> dict[str, tuple[Label, ...] | None]:
    """What a labels file holds already; a last line that was cut off is asked for again."""
    if not path.exists():
        return {}
    text = path.read_text(encoding="utf-8")
    if text and not text.endswith("\n"):
        path.write_text(text[: text.rfind("\n") + 1], encoding="utf-8")
    return {
        data["id"]: None if data["labels"] is None else tuple(map(Label, data["labels"]))
        for _, data in read_lines(path)
    }
