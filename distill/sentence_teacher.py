"""A sentence teacher: frozen sentence embeddings and a logistic regression on top.

Minutes to train where fine-tuning takes an hour, so it labels any amount of unlabelled reasoning.
Like the student it keeps two questions apart and multiplies: is the request harmful, and does the
step go along (learned on traces on harmful requests only).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, Self, cast

import numpy as np
import numpy.typing as npt
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from .config import DEFAULT_ENCODER
from .labels import Label, LabelledTrace
from .placeholders import masked_trace
from .request_sets import LabelledRequest, requests_of


class Embedder(Protocol):
    """What of sentence-transformers is used: texts to vectors `[n, width]`."""

    def encode(self, sentences: list[str], **options: Any) -> npt.NDArray[np.float32]:
        """One vector a sentence, `[n, width]`."""
        ...


def load_embedder(name: str = DEFAULT_ENCODER) -> Embedder:
    """A sentence-transformers model by hub name or local folder.

    Raises ImportError where that package is not installed.
    """
    try:
        from sentence_transformers import SentenceTransformer
    except ImportError as error:
        raise ImportError(
            "the sentence teacher needs sentence-transformers: pip install 'rerail[distill]'"
        ) from error
    return cast(Embedder, SentenceTransformer(name, device="cpu"))


@dataclass(frozen=True, slots=True)
class SentenceTeacher:
    """Labels steps: cue, safety trigger or neutral."""

    embedder: Embedder
    harm: Pipeline
    steps: Pipeline
    """Of the classes C, S and N."""

    threshold: float = 0.5
    """Probability of harm times probability of going along from which a step counts as a cue."""

    name: str = "sentence teacher"

    @classmethod
    def from_traces(
        cls,
        embedder: Embedder,
        traces: Iterable[LabelledTrace],
        requests: Iterable[LabelledRequest] = (),
        *,
        max_steps: int = 24,
    ) -> Self:
        """Fits on labelled traces. Raises ValueError if they hold no cue, or only harm."""
        traces = [masked_trace(trace) for trace in traces]
        asked = [*requests_of(traces), *requests]
        if len({entry.harmful for entry in asked}) < 2:
            raise ValueError("the sentence teacher needs harmful and harmless requests")
        harm = _classifier().fit(
            _embedded(embedder, [entry.request for entry in asked]),
            [entry.harmful for entry in asked],
        )
        taught = [trace for trace in traces if trace.harmful and trace.labels]
        vectors = [_step_vectors(embedder, trace.steps[:max_steps]) for trace in taught]
        labels = [_coarse(label) for trace in taught for _, label in trace.labelled[:max_steps]]
        if Label.CUE not in labels:
            raise ValueError("the sentence teacher needs traces with labelled cues")
        rows = np.concatenate(
            [found[: len(trace.labels or ())] for found, trace in zip(vectors, taught, strict=True)]
        )
        return cls(embedder, harm, _classifier().fit(rows, [str(label) for label in labels]))

    def cue_probabilities(self, trace: LabelledTrace) -> npt.NDArray[np.float64]:
        """For every step the probability of being a cue, 0..1, `[steps]`."""
        harmful = self.harm.predict_proba(_embedded(self.embedder, [trace.request]))[0, 1]
        along = self.steps.predict_proba(_step_vectors(self.embedder, trace.steps))
        return harmful * along[:, list(self.steps.classes_).index(str(Label.CUE))]

    def label(self, trace: LabelledTrace) -> tuple[Label, ...] | None:
        """A label for every step; `None` for a trace without steps."""
        if not trace.steps:
            return None
        trace = masked_trace(trace)
        cues = self.cue_probabilities(trace)
        guessed = self.steps.predict(_step_vectors(self.embedder, trace.steps))
        return tuple(
            Label.CUE
            if probability >= self.threshold
            else Label.SAFETY
            if guess == str(Label.SAFETY)
            else Label.NEUTRAL
            for probability, guess in zip(cues, guessed, strict=True)
        )


def _classifier() -> Pipeline:
    return make_pipeline(
        StandardScaler(), LogisticRegression(C=0.02, max_iter=500, class_weight="balanced")
    )


def _coarse(label: Label) -> Label:
    return Label.CUE if label.is_cue else label


def _embedded(embedder: Embedder, texts: Sequence[str]) -> npt.NDArray[np.float32]:
    return embedder.encode(list(texts), normalize_embeddings=True, show_progress_bar=False)


def _step_vectors(embedder: Embedder, steps: Sequence[str]) -> npt.NDArray[np.float32]:
    """Each step's vector beside the one before and their product, `[steps, 3 * width]`."""
    own = _embedded(embedder, steps)
    before = np.concatenate([np.zeros_like(own[:1]), own[:-1]])
    return np.concatenate([own, before, own * before], axis=1)
