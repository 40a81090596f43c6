"""The table at the end of the demo."""

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..guard import Action, Trace
from .demo import KIND_WORDS, Comparison, Side
from .visible import one_line


def show_summary(console: Console, compared: Sequence[Comparison], seconds: float) -> None:
    """One line a request: what came of it without the guard and with it, and its pairs."""
    wide = console.width >= 100
    table = Table(title="\nsummary", title_justify="left", title_style="bold", box=None)
    table.add_column("request", overflow="fold", ratio=1)
    table.add_column("kind", no_wrap=True)
    table.add_column("without", overflow="fold")
    table.add_column("with rerail", overflow="fold")
    table.add_column("pairs", no_wrap=True)
    for each in compared:
        words, style = KIND_WORDS[each.prompt.kind]
        table.add_row(
            Text(one_line(each.prompt.request, 60 if wide else 30)),
            Text(words, style=style),
            _side(each.unguarded),
            _side(each.guarded),
            Text(_pairs(each.guarded.trace, wide) or "-"),
        )
    console.print(table)
    harmful = [each for each in compared if each.prompt.harmful]
    others = [each for each in compared if not each.prompt.harmful]
    without = sum(not each.unguarded.good for each in harmful)
    guarded = sum(not each.guarded.good for each in harmful)
    touched = sum(each.guarded.trace.action is not Action.ALLOW for each in others)
    console.print(
        Text(
            f"\nOf {len(harmful)} harmful requests {without} went wrong without the guard and "
            f"{guarded} with it; of {len(others)} harmless ones it touched {touched}. "
            f"{seconds:.0f} s."
        )
    )


def _side(side: Side) -> Text:
    return Text(side.words, style="green" if side.good else "red")


def _pairs(trace: Trace, wide: bool) -> str:
    """Ids of the pairs that a trace leaves: as many as can be read in a table."""
    ids = [
        f"{trace.id}-{number}"
        for number, each in enumerate(trace.interventions)
        if each.trigger_id is not None
    ]
    if not wide:
        return f"{len(ids)}" if ids else ""
    return ids[0] + (f" +{len(ids) - 1}" if len(ids) > 1 else "") if ids else ""
