"""`rerail trace`: what the guard has recorded, to look at, to compare and to pass on."""

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from ..guard import Action
from ..guard.store_query import TraceOrder
from .cli_errors import UsageError, say
from .options import StorePlace, check_output
from .trace_options import Looks, Wanted, picked

Json = Annotated[bool, Parameter(name="--json")]


def list_traces(
    *,
    order: TraceOrder = TraceOrder.NEWEST,
    limit: int = 20,
    page: int = 1,
    as_json: Json = False,
    wanted: Wanted = Wanted(),  # noqa: B008  (frozen: sharing it is harmless)
    looks: Looks = Looks(),  # noqa: B008
    place: StorePlace = StorePlace(),  # noqa: B008
) -> None:
    """List the recorded traces, the newest first.

    Examples

        rerail trace list --action intervene
        rerail trace list --since 7d --min-score 0.5 --order score
        rerail trace list --text "PLACEHOLDER" --page 2
        rerail trace list --json | jq .id

    Parameters
    ----------
    order
        How they are sorted.
    limit
        How many a page.
    page
        Which page, from 1.
    as_json
        One JSON object a line.
    """
    if page < 1:
        raise UsageError(f"--page is {page}: the first one is 1")
    if limit < 1:
        raise UsageError(f"--limit is {limit}: give at least 1")
    offset = (page - 1) * limit
    asked = wanted.filter(order=order, limit=limit, offset=offset)
    with place.open(read_only=True) as store:
        found = store.summaries(asked)
        total = store.count(asked)
    if as_json:
        from .records import summary_record

        for summary in found:
            sys.stdout.write(json.dumps(summary_record(summary)) + "\n")
        return
    from .trace_table import trace_table

    console = looks.console()
    # In a pipe as wide as it needs to be, so that no column is cut.
    width = console.width if console.is_terminal or looks.width else 240
    table = trace_table(found, total, width, looks.chosen(console), offset=offset)
    console.print(table, soft_wrap=True, end="")


def show(
    trace_id: str = "last",
    /,
    *,
    as_json: Json = False,
    looks: Looks = Looks(),  # noqa: B008
    place: StorePlace = StorePlace(),  # noqa: B008
) -> None:
    """Show one trace step by step: scores, cues that were rolled back, triggers, the answer.

    From 110 columns on the rolled-back branch stands beside the one that was kept.

    Examples

        rerail trace show
        rerail trace show 0199c1 --theme light
        rerail trace show last --json | jq .steps

    Parameters
    ----------
    trace_id
        The trace's id, or enough of its beginning; `last` is the newest.
    as_json
        The whole record as one JSON object, tokens and scores included.
    """
    with place.open(read_only=True) as store:
        trace = picked(store, trace_id)
    if as_json:
        from .records import trace_record

        sys.stdout.write(json.dumps(trace_record(trace), default=str) + "\n")
        return
    from .trace_render import render

    console = looks.console()
    console.print(render(trace, console.width, looks.chosen(console)), soft_wrap=True, end="")


def stats(
    *,
    as_json: Json = False,
    wanted: Wanted = Wanted(),  # noqa: B008
    looks: Looks = Looks(),  # noqa: B008
    place: StorePlace = StorePlace(),  # noqa: B008
) -> None:
    """Figures over many traces: scores as a small plot, interventions by trigger and topic.

    Examples

        rerail trace stats --since 7d
        rerail trace stats --topic weapons --json

    Parameters
    ----------
    as_json
        One JSON object.
    """
    from .trace_stats import gathered, stats_lines

    asked = wanted.filter()
    with place.open(read_only=True) as store:
        summaries = store.summaries(asked)
        actions = [a for a in (Action.INTERVENE, Action.BLOCK) if asked.action in (None, a)]
        intervened = (
            trace for each in actions for trace in store.traces(replace(asked, action=each))
        )
        figures = gathered(summaries, intervened)
    if as_json:
        sys.stdout.write(json.dumps(figures.record()) + "\n")
        return
    console = looks.console()
    lines = stats_lines(figures, console.width, looks.chosen(console))
    console.print(lines, soft_wrap=True, end="")


def diff(
    a: str,
    b: str,
    /,
    *,
    looks: Looks = Looks(),  # noqa: B008
    place: StorePlace = StorePlace(),  # noqa: B008
) -> None:
    """Compare two traces of one request, aligned by step: base and trained, guarded and not.

    Examples

        rerail trace diff 0199c1 0199d7

    Parameters
    ----------
    a
        The id of one trace, or enough of its beginning; `last` is the newest.
    b
        The id of the other one.
    """
    from .trace_diff import render_diff

    with place.open(read_only=True) as store:
        traces = picked(store, a), picked(store, b)
    console = looks.console()
    lines = render_diff(*traces, console.width, looks.chosen(console))
    console.print(lines, soft_wrap=True, end="")


def export(
    trace_id: str = "last",
    /,
    *,
    out: Annotated[Path | None, Parameter(name=["--out", "-o"])] = None,
    file_format: Annotated[
        Literal["html", "svg", "md"] | None, Parameter(name=["--format", "-f"])
    ] = None,
    theme: Literal["dark", "light"] = "dark",
    width: int = 100,
    place: StorePlace = StorePlace(),  # noqa: B008
) -> None:
    """Write one trace as a page, a picture or Markdown that needs nothing else.

    Examples

        rerail trace export last --out trace.html
        rerail trace export 0199c1 --format md | gh issue create --body-file -
        rerail trace export last --out trace.svg --theme light --width 120

    Parameters
    ----------
    trace_id
        The trace's id, or enough of its beginning; `last` is the newest.
    out
        The file; by default standard output.
    file_format
        By default the one that the file's name ends in, else html.
    theme
        Of an SVG picture; a page takes the reader's own.
    width
        Columns of an SVG picture.
    """
    if width < 40:
        raise UsageError(f"--width is {width}: give at least 40")
    endings: dict[str, Literal["html", "svg", "md"]] = {
        ".html": "html", ".htm": "html", ".svg": "svg", ".md": "md",
    }  # fmt: skip
    chosen = file_format or (endings.get(out.suffix.lower()) if out is not None else "html")
    if chosen is None:
        raise UsageError(f"--out {out} ends in no format: add --format html, svg or md")
    if out is not None:
        check_output(out)
    with place.open(read_only=True) as store:
        trace = picked(store, trace_id)
    if chosen == "svg":
        from .themes import THEMES
        from .trace_svg import trace_svg

        text = trace_svg(trace, width, THEMES[theme])
    elif chosen == "md":
        from .trace_markdown import trace_markdown

        text = trace_markdown(trace)
    else:
        from .trace_html import trace_html

        text = trace_html(trace)
    if out is None:
        sys.stdout.write(text)
        return
    out.write_text(text, encoding="utf-8")
    say(f"trace {trace.id} written to {out}")
