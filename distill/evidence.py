"""What holds on voices and sources that were never seen, and what each source adds.

`rerail distill evidence`. Fitting the whole encoder for every fold is out of reach on a processor,
so the folds fit what is quick: the sentence teacher, a logistic regression on embeddings that no
label has touched. Its figures are lower than the student's; what carries over is the difference
that a voice or a source makes. A request held out is held out in every voice.
"""

import json
import logging
import random
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.metrics import roc_auc_score

from .config import DEFAULT_ENCODER
from .labels import LabelledTrace, read_traces
from .pictures import load_pyplot, save
from .placeholders import masked_trace
from .request_sets import LabelledRequest, read_requests
from .sentence_teacher import Embedder, SentenceTeacher, load_embedder
from .splits import fold_of, is_held

logger = logging.getLogger(__name__)

SHARES = (0.0, 0.34, 1.0)
"""Of one source, added to all others: the points of its learning curve."""

Told = dict[str, npt.NDArray[np.float64]]
"""The probabilities of every step, by the trace's id."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EvidenceConfig:
    """One collection of evidence."""

    traces: tuple[Path, ...]
    out: Path
    requests: tuple[Path, ...] = ()
    encoder: str = DEFAULT_ENCODER
    max_traces: int = 150
    """Traces of each file that are used, drawn with the seed."""

    max_requests: int = 1500
    max_steps: int = 8
    min_traces: int = 6
    """Traces with a cue that a voice needs to be held out by itself."""

    num_folds: int = 3
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.traces:
            raise ValueError("traces is empty: name at least one JSON Lines file of traces")
        if self.num_folds < 2:
            raise ValueError(f"num_folds is {self.num_folds}: give at least 2")


@dataclass(frozen=True, slots=True)
class HeldOut:
    """One voice or source: AUROC a step on its traces on harmful requests."""

    name: str
    num_traces: int
    seen: float | None
    """Its other traces were learned from; only these requests were not."""

    unseen: float | None
    """Nothing of it was learned from, nor its requests in other voices."""


@dataclass(frozen=True, slots=True)
class SourceCurve:
    """AUROC a step on held-out requests of all sources, by the share of one that is added."""

    source: str
    shares: tuple[float, ...]
    everywhere: tuple[float | None, ...]
    on_itself: tuple[float | None, ...]


@dataclass(frozen=True, slots=True)
class Evidence:
    """All of it."""

    voices: tuple[HeldOut, ...]
    sources: tuple[HeldOut, ...]
    curves: tuple[SourceCurve, ...]


def gather(config: EvidenceConfig, embedder: Embedder | None = None) -> Evidence:
    """Fits the folds, writes `evidence.json`, `voices.png` and `curves.png`, and gives it."""
    rng = random.Random(config.seed)
    traces: list[LabelledTrace] = []
    for path in config.traces:
        found = [masked_trace(trace) for trace in read_traces([path])]
        traces += rng.sample(found, min(config.max_traces, len(found)))
    requests = list(read_requests(config.requests))
    requests = rng.sample(requests, min(config.max_requests, len(requests)))
    folds = _Folds(config, traces, requests, embedder or load_embedder(config.encoder))
    cued = [trace for trace in traces if trace.harmful and trace.first_cue is not None]
    seen: Told = {}
    for fold in range(config.num_folds):
        logger.info("evidence: requests, fold %d of %d", fold + 1, config.num_folds)
        held = [t for t in traces if fold_of(t.request, config.num_folds) == fold]
        seen |= folds.told(held)
    evidence = Evidence(
        tuple(folds.left_out(cued, seen, lambda trace: trace.voice, config.min_traces)),
        tuple(folds.left_out(cued, seen, lambda trace: trace.source, config.min_traces)),
        tuple(folds.curves(cued)),
    )
    config.out.mkdir(parents=True, exist_ok=True)
    (config.out / "evidence.json").write_text(json.dumps(asdict(evidence), indent=1) + "\n")
    draw(evidence, config.out)
    return evidence


class _Folds:
    """Fits teachers on parts of the data; every text is embedded once."""

    def __init__(
        self,
        config: EvidenceConfig,
        traces: Sequence[LabelledTrace],
        requests: Sequence[LabelledRequest],
        embedder: Embedder,
    ) -> None:
        self._config = config
        self._traces = traces
        self._requests = requests
        self._embedder = _Remembered(embedder)

    def told(
        self, held: Sequence[LabelledTrace], trained: Iterable[LabelledTrace] | None = None
    ) -> Told:
        """What a teacher fitted on the others says of the labelled ones among these."""
        asked = {trace.request for trace in held}
        teacher = SentenceTeacher.from_traces(
            self._embedder,
            [t for t in (self._traces if trained is None else trained) if t.request not in asked],
            [entry for entry in self._requests if entry.request not in asked],
            max_steps=self._config.max_steps,
        )
        return {
            trace.id: teacher.cue_probabilities(_shortened(trace, self._config.max_steps))
            for trace in held
            if trace.harmful and trace.labels
        }

    def left_out(
        self,
        cued: Sequence[LabelledTrace],
        seen: Told,
        name_of: Callable[[LabelledTrace], str],
        min_traces: int,
    ) -> Iterable[HeldOut]:
        """Each name with enough traces, left out whole."""
        counts = Counter(name_of(trace) for trace in cued)
        for name in sorted(name for name, number in counts.items() if number >= min_traces):
            logger.info("evidence: without %s", name)
            held = [trace for trace in self._traces if name_of(trace) == name]
            left = [trace for trace in self._traces if name_of(trace) != name]
            unseen = self.told(held, left)
            yield HeldOut(name, counts[name], area(held, seen), area(held, unseen))

    def curves(self, cued: Sequence[LabelledTrace]) -> Iterable[SourceCurve]:
        """For every source with cues: more and more of it, beside all others."""
        held = [t for t in self._traces if is_held(t.request, self._config.num_folds)]
        held_ids = {trace.id for trace in held}
        rest = [trace for trace in self._traces if trace.id not in held_ids]
        for source in sorted({trace.source for trace in cued}):
            own = [trace for trace in rest if trace.source == source]
            others = [trace for trace in rest if trace.source != source]
            everywhere: list[float | None] = []
            itself: list[float | None] = []
            for share in SHARES:
                logger.info("evidence: %.0f %% of %s", 100 * share, source)
                told = self.told(held, [*others, *own[: round(share * len(own))]])
                everywhere.append(area(held, told))
                itself.append(area([t for t in held if t.source == source], told))
            yield SourceCurve(source, SHARES, tuple(everywhere), tuple(itself))


class _Remembered:
    """An embedder that embeds no text twice."""

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder
        self._known: dict[str, npt.NDArray[np.float32]] = {}

    def encode(self, sentences: list[str], **options: Any) -> npt.NDArray[np.float32]:
        new = list(dict.fromkeys(text for text in sentences if text not in self._known))
        if new:
            self._known.update(zip(new, self._embedder.encode(new, **options), strict=True))
        return np.stack([self._known[text] for text in sentences])


def area(traces: Iterable[LabelledTrace], told: Told) -> float | None:
    """AUROC of the labelled steps of traces on harmful requests; `None` without both kinds."""
    truth: list[bool] = []
    scores: list[float] = []
    for trace in traces:
        for label, score in zip(trace.labels or (), told.get(trace.id, ()), strict=False):
            truth.append(label.is_cue)
            scores.append(float(score))
    return float(roc_auc_score(truth, scores)) if len(set(truth)) == 2 else None


def _shortened(trace: LabelledTrace, max_steps: int) -> LabelledTrace:
    return replace(trace, steps=trace.steps[:max_steps], labels=None)


def draw(evidence: Evidence, folder: Path) -> None:
    """The two pictures. Needs matplotlib, from the extra `distill`."""
    pyplot = load_pyplot("distill")
    rows = [*evidence.sources, *evidence.voices]
    figure, axes = pyplot.subplots(figsize=(7, 1 + 0.28 * len(rows)))
    for height, row in enumerate(reversed(rows)):
        for value, colour in ((row.seen, "tab:blue"), (row.unseen, "tab:orange")):
            if value is not None:
                axes.plot([value], [height], "o", color=colour)
        if row.seen is not None and row.unseen is not None:
            axes.plot([row.seen, row.unseen], [height, height], color="lightgrey", zorder=0)
    axes.set_yticks(range(len(rows)), [f"{r.name} ({r.num_traces})" for r in reversed(rows)])
    axes.set(xlabel="AUROC a step (blue: seen, orange: left out)")
    save(pyplot, figure, folder / "voices.png")
    figure, axes = pyplot.subplots(figsize=(6, 4))
    for curve in evidence.curves:
        heights = [each for each in curve.everywhere if each is not None]
        if len(heights) == len(curve.shares):
            axes.plot(curve.shares, heights, "o-", label=curve.source)
    axes.set(xlabel="share of this source, beside all others", ylabel="AUROC a step, held out")
    if axes.lines:
        axes.legend(fontsize=7)
    save(pyplot, figure, folder / "curves.png")
