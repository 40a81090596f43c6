"""A teacher that writes down what it has said, so that a run that stopped asks nothing twice."""

import json
from pathlib import Path

from .judge_teacher import known_labels
from .labels import Label, LabelledTrace
from .teachers import Teacher


class RememberedTeacher:
    """Any teacher with an append-only file: one line a trace, `id` and `labels` (null: unsaid)."""

    def __init__(self, teacher: Teacher, path: Path) -> None:
        self.name = teacher.name
        self._teacher = teacher
        self._path = path
        self._known = known_labels(path)

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
