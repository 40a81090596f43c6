"""Teachers: what labels the steps of traces that nobody has labelled.

A teacher may stop early: labels cover the first steps, and the rest stays unlabelled. The one that
only knows where the first cue is (the reasoning model asked about its own trace) says "neutral" up
to it, "cue" there, and nothing after.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Protocol

from ..guard.detector_keywords import KeywordDetector, step_probability
from .labels import Label, LabelledTrace


class Teacher(Protocol):
    """Labels the steps of one trace."""

    @property
    def name(self) -> str:
        """Stored with what it labelled."""
        ...

    def label(self, trace: LabelledTrace) -> tuple[Label, ...] | None:
        """Labels for the first steps of the trace; `None` if the teacher cannot say."""
        ...


class LabelledFiles:
    """The labels that the files came with; it knows nothing about other traces."""

    name = "labelled files"

    def label(self, trace: LabelledTrace) -> tuple[Label, ...] | None:
        """The trace's own labels."""
        return trace.labels


class KeywordTeacher:
    """The keyword baseline as a teacher: free, and only as good as its patterns."""

    name = "keywords"

    def label(self, trace: LabelledTrace) -> tuple[Label, ...] | None:
        """A cue where the baseline would act at a step's end."""
        detector = KeywordDetector()
        state = detector.start([{"role": "user", "content": trace.request}])
        limit = detector.thresholds.reasoning.end
        return tuple(
            Label.CUE
            if step_probability(step, harmful_request=state.harmful_request) >= limit
            else Label.NEUTRAL
            for step in trace.steps
        )


def labels_from_first_cue(num_steps: int, first_cue: int | None) -> tuple[Label, ...]:
    """Labels of a teacher that only says which step is the first cue (`None`: there is none).

    Those after it stay without a label. Raises ValueError for an index outside the trace.
    """
    if first_cue is None:
        return (Label.NEUTRAL,) * num_steps
    if not 0 <= first_cue < num_steps:
        raise ValueError(f"first cue {first_cue} is outside the trace's {num_steps} steps")
    return (*(Label.NEUTRAL,) * first_cue, Label.CUE)


def taught(
    traces: Iterable[LabelledTrace],
    teacher: Teacher,
    known: Mapping[str, tuple[Label, ...]] | None = None,
) -> Iterator[LabelledTrace]:
    """The traces with labels: their own, else those `known` from before, else the teacher's.

    Labels that came with a file are never overwritten: they are a human's.
    """
    for trace in traces:
        labels = trace.labels
        if labels is None:
            labels = (known or {}).get(trace.id) or teacher.label(trace)
        yield replace(trace, labels=labels)
