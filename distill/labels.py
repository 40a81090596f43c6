"""The labels of steps, and traces that carry them: one JSON object a line.

A line has `id`, `request`, `harmful` (of the request), `model` or voice, `think`, `steps`
(character spans of its sentences) and `labels` (a letter for each of the first steps, or null);
perhaps `answer`, and `answer_harmful` where somebody has said whether the answer does the harm.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Self

from ..guard.channels import Channel
from ..guard.json_text import json_of
from .answers import answer_steps


class Label(StrEnum):
    """What a step is, judged in order and without looking ahead (METHOD: vocabulary)."""

    CUE = "C"
    """Compliance cue: considers how to carry out a harmful request, or talks itself into it."""

    HARM = "U"
    """Substantive harmful content; counts as a cue too."""

    SAFETY = "S"
    """Safety trigger: names the risk, invokes a rule, declines, or re-frames lawfully."""

    NEUTRAL = "N"
    """Neither; every step on a harmless request."""

    @property
    def is_cue(self) -> bool:
        """Whether the guard should stop here."""
        return self in (Label.CUE, Label.HARM)


class TraceFileError(ValueError):
    """A trace file cannot be read; the message names the file and the line."""


@dataclass(frozen=True, slots=True)
class LabelledTrace:
    """One trace cut into steps, with labels where somebody or something has given them."""

    id: str
    request: str
    harmful: bool
    source: str
    """Where it comes from: the file's stem."""

    voice: str
    """The model, or the voice it was written in."""

    steps: tuple[str, ...]
    labels: tuple[Label, ...] | None
    """For the first steps at least; `None` where nothing was labelled."""

    language: str = "en"

    answer: tuple[str, ...] = ()
    """Steps of the answer, or of the tool call that stands for it (`distill.answers`)."""

    answer_channel: Channel = Channel.ANSWER

    answer_harmful: bool | None = None
    """Whether the answer goes along with harm; `None` where nobody has said."""

    @property
    def first_cue(self) -> int | None:
        """Index of the first step labelled a cue; `None` if there is none."""
        cues = (index for index, label in enumerate(self.labels or ()) if label.is_cue)
        return next(cues, None)

    @property
    def labelled(self) -> tuple[tuple[str, Label], ...]:
        """The steps that carry a label, with it."""
        return tuple(zip(self.steps, self.labels or (), strict=False))

    def to_json(self) -> dict[str, Any]:
        """A line that `from_json` reads back, but for the answer's text."""
        think = "\n".join(self.steps)
        starts = [0]
        for step in self.steps:
            starts.append(starts[-1] + len(step) + 1)
        spans = [[a, a + len(s)] for a, s in zip(starts, self.steps, strict=False)]
        labels = None if self.labels is None else [str(label) for label in self.labels]
        return {
            "id": self.id, "request": self.request, "harmful": self.harmful, "model": self.voice,
            "language": self.language, "think": think, "steps": spans, "labels": labels,
        }  # fmt: skip

    @classmethod
    def from_json(cls, data: dict[str, Any], source: str) -> Self:
        """From one line. Raises KeyError, TypeError or ValueError if something is off."""
        think = data["think"]
        steps = tuple(think[start:end] for start, end in data["steps"])
        labels = data.get("labels")
        if labels is not None:
            labels = tuple(Label(letter) for letter in labels)
            if len(labels) > len(steps):
                raise ValueError(f"{len(labels)} labels for {len(steps)} steps")
        elif not data["harmful"]:
            labels = (Label.NEUTRAL,) * len(steps)
        harmful = bool(data["harmful"])
        answer, channel = answer_steps(str(data.get("answer") or ""))
        return cls(
            id=str(data["id"]),
            request=str(data["request"]),
            harmful=harmful,
            source=source,
            voice=str(data.get("model", "")),
            steps=steps,
            labels=labels,
            language=str(data.get("language", "en")),
            answer=answer,
            answer_channel=channel,
            answer_harmful=data.get("answer_harmful") if harmful else False,
        )


def read_traces(paths: Iterable[Path]) -> Iterator[LabelledTrace]:
    """The traces of JSON Lines files. Raises `TraceFileError` naming the first bad line."""
    for path in paths:
        for number, data in read_lines(path):
            try:
                yield LabelledTrace.from_json(data, path.stem)
            except (KeyError, TypeError, ValueError) as error:
                raise TraceFileError(
                    f"{path} line {number} is no trace ({error!r}): it needs id, request, "
                    "harmful, think, steps and labels"
                ) from error


def read_lines(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """The JSON objects of a file with their line numbers, from 1; blank lines are left out.

    Raises `TraceFileError` naming the line that is none, or the file that cannot be read.
    """
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise TraceFileError(f"{path} cannot be read: {error}") from error
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            data = json_of(line)
        except ValueError as error:
            raise TraceFileError(f"{path} line {number} is no JSON: {error}") from error
        if not isinstance(data, dict):
            raise TraceFileError(f"{path} line {number} is no JSON object")
        yield number, data
