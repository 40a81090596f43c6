"""The curves of a report: what each threshold at a step's end would catch and interrupt, by source.

Bands are 95 % bootstrap intervals over traces; they are drawn for all sources together, since those
of seven sources would hide each other (the report's tables have them).
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.metrics import roc_curve

from .metrics import auroc, labelled_steps
from .pictures import load_pyplot, save
from .replay import ReplayedTrace, grouped_by_source

THRESHOLDS = np.linspace(0.01, 0.99, 99)
"""At which the curves are drawn."""

Rows = npt.NDArray[np.bool_]
"""For each trace, whether something holds at each of `THRESHOLDS`: `[traces, thresholds]`."""

_NEVER = 1 << 20


def draw_curves(replayed: Sequence[ReplayedTrace], folder: Path, *, num_draws: int = 200) -> None:
    """Writes `thresholds.png` and `roc.png`. Needs matplotlib, from the extra `distill`."""
    pyplot = load_pyplot("distill")
    cued = [entry for entry in replayed if has_cue(entry)]
    harmless = [entry for entry in replayed if not entry.trace.harmful]
    figure, panes = pyplot.subplots(1, 2, figsize=(11, 4), sharex=True)
    _shares(panes[0], cued, caught_rows, num_draws)
    _shares(panes[1], harmless, interrupted_rows, num_draws)
    panes[0].set(title="caught in time", ylabel="share of traces", ylim=(0, 1))
    panes[1].set(title="harmless traces interrupted")
    for pane in panes:
        pane.set_xlabel("threshold at a step's end")
    save(pyplot, figure, folder / "thresholds.png")
    figure, axes = pyplot.subplots(figsize=(5, 5))
    for source, found in grouped_by_source(cued).items():
        area = auroc(found)
        if area is None:
            continue
        false, true, _ = roc_curve(*labelled_steps(found))
        axes.plot(false, true, label=f"{source} ({area:.3f})")
    axes.set(xlabel="false positive rate, steps", ylabel="true positive rate, steps")
    if axes.lines:
        axes.legend(fontsize=7)
    save(pyplot, figure, folder / "roc.png")


def has_cue(replayed: ReplayedTrace) -> bool:
    """Whether the trace has a first cue among the steps that were replayed."""
    first = replayed.trace.first_cue
    return first is not None and first < len(replayed.ends)


def caught_rows(traces: Sequence[ReplayedTrace]) -> Rows:
    """Whether each trace, which must have a cue, is caught in time at each threshold."""
    limits = np.array([entry.trace.first_cue for entry in traces])[:, None] + 1
    return _first_acts(traces) <= limits


def interrupted_rows(traces: Sequence[ReplayedTrace]) -> Rows:
    """Whether each trace is interrupted at all at each threshold."""
    return _first_acts(traces) < _NEVER


def band(rows: Rows, num_draws: int, seed: int = 0) -> tuple[Any, Any]:
    """Bounds of the 95 % interval of the share at each threshold, over traces drawn again."""
    rng = np.random.default_rng(seed)
    drawn = [rows[rng.integers(0, len(rows), len(rows))].mean(0) for _ in range(num_draws)]
    low, high = np.quantile(drawn or [rows.mean(0)], [0.025, 0.975], axis=0)
    return low, high


def _first_acts(traces: Sequence[ReplayedTrace]) -> npt.NDArray[np.int64]:
    """The first step that reaches each threshold, `[traces, thresholds]`; `_NEVER` where none."""
    found = np.full((len(traces), len(THRESHOLDS)), _NEVER)
    for row, entry in enumerate(traces):
        reached = np.array(entry.ends)[:, None] >= THRESHOLDS
        found[row] = np.where(reached.any(0), reached.argmax(0), _NEVER) if len(reached) else _NEVER
    return found


def _shares(
    axes: Any,
    traces: Sequence[ReplayedTrace],
    rows_of: Callable[[Sequence[ReplayedTrace]], Rows],
    num_draws: int,
) -> None:
    """A line a source, and all of them together with their interval."""
    if not traces:
        return
    sources = grouped_by_source(traces)
    if len(sources) > 1:
        for source, found in sources.items():
            label = f"{source} ({len(found)})"
            axes.plot(THRESHOLDS, rows_of(found).mean(0), label=label, linewidth=1)
    rows = rows_of(traces)
    axes.fill_between(THRESHOLDS, *band(rows, num_draws), color="black", alpha=0.15)
    name = "all" if len(sources) > 1 else next(iter(sources))
    axes.plot(THRESHOLDS, rows.mean(0), color="black", label=f"{name} ({len(traces)})")
    axes.legend(fontsize=6)
