"""The list of traces, as lines of the terminal."""

from collections.abc import Sequence
from dataclasses import dataclass

from rich.style import Style

from ..guard.store_query import TraceSummary
from .lines import Line, Lines, Run, one_line, wrapped
from .themes import Theme
from .wording import NOT_STORED, score_text


@dataclass(frozen=True, slots=True)
class _Column:
    name: str
    size: int
    right: bool = False
    from_width: int = 0
    """Shown from this width of the terminal on."""


_COLUMNS = (
    _Column("id", 20, from_width=100),
    _Column("id", 12),
    _Column("begun", 19, from_width=120),
    _Column("begun", 11),
    _Column("action", 9),
    _Column("score", 5, right=True),
    _Column("cues", 4, right=True),
    _Column("tokens", 6, right=True, from_width=100),
    _Column("seconds", 7, right=True, from_width=140),
    _Column("ended by", 14, from_width=160),
    _Column("topic", 14, from_width=160),
    _Column("model", 18, from_width=100),
)


def trace_table(
    summaries: Sequence[TraceSummary], total: int, width: int, theme: Theme, *, offset: int = 0
) -> Lines:
    """One trace a line, narrower columns in a narrower terminal; how many more there are below."""
    if not summaries:
        words = "no traces" if not total else f"no traces on this page: there are {total}"
        return Lines(wrapped([(words, theme.quiet)], width))
    columns: dict[str, _Column] = {}
    for column in _COLUMNS:
        if width >= column.from_width and column.name not in columns:
            columns[column.name] = column
    head: list[Run] = [(f"{_fit(each.name, each)}  ", theme.word) for each in columns.values()]
    lines: list[Line] = [one_line([*head, ("request", theme.word)], width)]
    for summary in summaries:
        cells = _cells(summary, theme, columns["begun"].size > 11)
        runs: list[Run] = []
        for name, column in columns.items():
            text, style = cells[name]
            runs.append((f"{_fit(text, column)}  ", style))
        request = " ".join(summary.request.split())
        runs.append((f"({NOT_STORED})" if summary.redacted else request, Style.null()))
        lines.append(one_line(runs, width))
    last = offset + len(summaries)
    if offset or last < total:
        words = f"{offset + 1} to {last} of {total}"
        if last < total:
            words += f"; --page {last // max(1, len(summaries)) + 1} shows the next"
        lines.append(one_line([(words, theme.quiet)], width))
    return Lines(lines)


def _cells(summary: TraceSummary, theme: Theme, long_time: bool) -> dict[str, Run]:
    begun = summary.created_at
    return {
        "id": (summary.id, Style.null()),
        "begun": (
            f"{begun:%Y-%m-%d %H:%M:%S}" if long_time else f"{begun:%m-%d %H:%M}",
            theme.quiet,
        ),
        "action": (summary.action.value, theme.actions[summary.action]),
        "score": (score_text(summary.max_score), theme.level(summary.max_score)),
        "cues": (str(summary.num_interventions), Style.null()),
        "tokens": (str(summary.num_tokens), Style.null()),
        "seconds": (f"{summary.duration_s:.1f}", theme.quiet),
        "ended by": (summary.finish_reason.value, theme.quiet),
        "topic": (summary.topic or "-", theme.quiet),
        "model": (summary.model, theme.quiet),
    }


def _fit(text: str, column: _Column) -> str:
    """`text` in exactly the column's size. An id is cut at its end, where ids of one time differ:
    the rest of the line tells them apart, and a longer one can be had in a wider terminal."""
    text = " ".join(text.split())
    if len(text) > column.size:
        text = text[: column.size] if column.name == "id" else text[: column.size - 1] + "…"
    return text.rjust(column.size) if column.right else text.ljust(column.size)
