"""Plots as PNG files; needs matplotlib, from the extra `eval`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..distill.pictures import load_pyplot, save

Bar = tuple[float | None, float | None, float | None]
"""Value, lower and upper bound of its interval; None where nothing was observed."""

Curve = tuple[Sequence[float], Sequence[float]]
"""x and y."""


def grouped_bars(
    path: Path, *, title: str, groups: Sequence[str], series: Mapping[str, Sequence[Bar]]
) -> None:
    """Shares with their intervals: a group of bars for each suite, a colour for each arm."""
    pyplot = load_pyplot("eval")
    figure, axes = pyplot.subplots(figsize=(max(4.5, 1.2 + 0.6 * len(groups) * len(series)), 3.6))
    width = 0.8 / max(1, len(series))
    for number, (name, bars) in enumerate(series.items()):
        places = [place + number * width for place in range(len(bars))]
        values = [0.0 if value is None else value for value, _, _ in bars]
        errors = [
            [value - (value if low is None else low) for value, (_, low, _) in _zip(values, bars)],
            [(value if up is None else up) - value for value, (_, _, up) in _zip(values, bars)],
        ]
        errors = [[max(0.0, each) for each in side] for side in errors]
        axes.bar(places, values, width * 0.9, yerr=errors, capsize=2, label=name)
        for place, (value, _, _) in zip(places, bars, strict=True):
            if value is None:  # an empty place would be read as 0
                axes.text(place, 0.01, "none", rotation=90, fontsize=7, ha="center")
    middle = 0.4 - width / 2
    axes.set_xticks([place + middle for place in range(len(groups))], groups, rotation=15)
    axes.set(ylim=(0, 1.02), title=title, ylabel="share")
    if len(series) > 1:  # beside the bars, which may reach the top
        axes.legend(fontsize=8, loc="upper left", bbox_to_anchor=(1, 1))
    save(pyplot, figure, path)


@dataclass(frozen=True, slots=True, kw_only=True)
class Axes:
    """What a plot says beside its lines."""

    title: str
    x: str
    """Name of the axis along."""

    y: str
    """Name of the axis up."""

    unit_y: bool = True
    """Whether y is a share, drawn from 0 to 1."""

    whole_x: bool = False
    """Whether x counts something."""


def curves(
    path: Path,
    axes: Axes,
    lines: Mapping[str, Curve],
    *,
    bands: Mapping[str, tuple[Sequence[float], Sequence[float]]] | None = None,
    marks: Mapping[str, float] | None = None,
) -> None:
    """Named curves; `bands` are lower and upper bounds by name, `marks` vertical lines."""
    pyplot = load_pyplot("eval")
    figure, plot = pyplot.subplots(figsize=(6.2, 4))
    for name, (xs, ys) in lines.items():
        (line,) = plot.plot(xs, ys, label=name, marker="." if len(xs) < 40 else None)
        if bands and name in bands:
            plot.fill_between(xs, *bands[name], alpha=0.18, color=line.get_color())
    for name, place in (marks or {}).items():
        plot.axvline(place, linestyle="--", linewidth=0.8, color="grey")
        plot.annotate(name, (place, 0.02), rotation=90, fontsize=7)
    plot.set(title=axes.title, xlabel=axes.x, ylabel=axes.y)
    if axes.unit_y:
        plot.set_ylim(-0.02, 1.02)
    if axes.whole_x:
        plot.locator_params(axis="x", integer=True)
    if lines:
        plot.legend(fontsize=8)
    save(pyplot, figure, path)


def points(path: Path, axes: Axes, series: Mapping[str, Curve]) -> None:
    """A scatter of named series with the diagonal."""
    pyplot = load_pyplot("eval")
    figure, plot = pyplot.subplots(figsize=(4.6, 4.4))
    highest = 1.0
    for name, (xs, ys) in series.items():
        plot.scatter(xs, ys, s=14, alpha=0.7, label=name)
        highest = max([highest, *xs, *ys])
    plot.plot([0, highest], [0, highest], linewidth=0.7, color="grey")
    plot.set(title=axes.title, xlabel=axes.x, ylabel=axes.y)
    plot.legend(fontsize=8)
    save(pyplot, figure, path)


def _zip(values: Sequence[float], bars: Sequence[Bar]) -> list[tuple[float, Bar]]:
    return list(zip(values, bars, strict=True))
