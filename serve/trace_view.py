"""Recorded traces in the terminal: as a list, and one by one."""

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..guard import Action, Trace
from ..guard.store_query import TraceSummary
from .records import highest_score, usage
from .timeline import score_style, score_text, timeline
from .visible import one_line, visible

ACTION_STYLES = {
    Action.ALLOW: "green",
    Action.AUDIT: "yellow",
    Action.INTERVENE: "bold red",
    Action.BLOCK: "bold red",
}


def show_summaries(summaries: Sequence[TraceSummary], total: int) -> None:
    """A table of traces; in a pipe as wide as it needs to be, so that no column is cut."""
    console = Console()
    if not console.is_terminal:
        console.width = max(console.width, 160)
    if not summaries:
        console.print("no traces")
        return
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    wide = console.width >= 100
    table.add_column("id", no_wrap=True)
    table.add_column("begun", no_wrap=True)
    table.add_column("action", no_wrap=True)
    table.add_column("score", justify="right", no_wrap=True)
    table.add_column("cues", justify="right", no_wrap=True)
    if wide:
        table.add_column("tokens", justify="right", no_wrap=True)
        table.add_column("model", no_wrap=True, overflow="ellipsis", max_width=24)
    table.add_column("request", no_wrap=True, overflow="ellipsis", ratio=1)
    for each in summaries:
        begun = each.created_at.astimezone()
        cells = [
            Text(each.id if wide else each.id[:14]),
            Text(f"{begun:%Y-%m-%d %H:%M}" if wide else f"{begun:%m-%d %H:%M}"),
            Text(each.action.value, style=ACTION_STYLES[each.action]),
            Text(score_text(each.max_score), style=score_style(each.max_score)),
            Text(str(each.num_interventions)),
        ]
        if wide:
            cells += [Text(str(each.num_tokens)), Text(one_line(each.model, 24))]
        request = "(redacted)" if each.redacted else one_line(each.request, console.width)
        table.add_row(*cells, Text(request))
    console.print(table)
    if total > len(summaries):
        console.print(f"{len(summaries)} of {total}; --limit shows more", style="dim")


def show_trace(trace: Trace) -> None:
    """One trace from its request to its numbers."""
    console = Console()
    begun = f"{trace.created_at.astimezone():%Y-%m-%d %H:%M:%S}"
    action = Text(trace.action.value, style=ACTION_STYLES[trace.action])
    console.print(Text.assemble(("trace ", "bold"), trace.id, "  ", begun, "  ", action))
    facts = Table.grid(padding=(0, 2))
    facts.add_column(style="dim", no_wrap=True)
    facts.add_column(overflow="fold")
    facts.add_row("model", Text(visible(trace.model)))
    facts.add_row("guard", Text(visible(_guard_words(trace))))
    facts.add_row("request", Text(visible(trace.request) or "(no text kept)"))
    console.print(facts)
    console.print()
    console.print(timeline(trace))
    for failure in trace.failures:
        console.print(Text(f"the detector failed: {visible(failure)}", style="bold red"))
    console.print()
    console.print(Text(_numbers(trace), style="dim"))
    num_pairs = sum(each.trigger_id is not None for each in trace.interventions)
    if num_pairs and trace.text:
        console.print(
            Text(f"pairs: rerail pairs export --trace {trace.id} --out pairs.jsonl", style="dim")
        )


def _guard_words(trace: Trace) -> str:
    if trace.detector == "none":
        return "none"
    limits = ", ".join(
        f"{channel} {end:.2f} ({inside:.2f} inside)"
        for channel, (inside, end) in trace.thresholds.items()
    )
    return f"{trace.detector}; policy {trace.policy}, hold {trace.hold}; thresholds: {limits}"


def _numbers(trace: Trace) -> str:
    counts = usage(trace)
    score = score_text(highest_score(trace))
    return (
        f"{counts['sampled_tokens']} tokens sampled, {counts['rolled_back_tokens']} of them rolled "
        f"back; {counts['injected_tokens']} injected, {counts['completion_tokens']} in the end; "
        f"{counts['leaked_tokens']} leaked; {counts['wait_tokens']} tokens' wait at most; "
        f"highest score {score}; scanned: {trace.scanned.value}; "
        f"ended by {trace.finish_reason.value} after {trace.duration_s:.1f} s"
    )
