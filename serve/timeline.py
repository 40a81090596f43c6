"""A trace as a reader sees it: its steps in the order in which they were judged.

Words say what colours show, so that nothing is lost in a pipe, with NO_COLOR or to a reader who
cannot tell red from green.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from ..guard import Channel, Trace
from ..guard.decision import Verdict
from .visible import visible

_TAKEN_OUT = (Verdict.INTERVENE, Verdict.REFUSE, Verdict.STOP)


class Mark(StrEnum):
    """What a line of the timeline is."""

    STEP = "step"
    CUE = "cue"
    """A step that was taken out."""

    PASSED = "passed"
    """A cue that was let pass, and recorded."""

    TRIGGER = "trigger"
    REFUSAL = "refusal"


STYLES = {
    Mark.STEP: "",
    Mark.CUE: "red strike",
    Mark.PASSED: "yellow",
    Mark.TRIGGER: "bold green",
    Mark.REFUSAL: "bold yellow",
}
"""How each is shown."""


@dataclass(frozen=True, slots=True)
class Line:
    """One step, or what was put in a step's place."""

    mark: Mark
    channel: Channel
    text: str
    score: float | None = None
    note: str = ""
    """Of a trigger its id."""


def lines_of(trace: Trace) -> Iterator[Line]:
    """The whole course of a trace, what was taken out included."""
    interventions = iter(trace.interventions)
    for step in trace.steps:
        if step.verdict not in _TAKEN_OUT:
            mark = Mark.PASSED if step.verdict is Verdict.AUDIT else Mark.STEP
            yield Line(mark, step.channel, step.text, step.probability)
            continue
        yield Line(Mark.CUE, step.channel, step.text, step.probability)
        intervention = next(interventions, None)
        if intervention is None or not intervention.num_injected:
            continue
        refusal = intervention.trigger_id is None
        mark = Mark.REFUSAL if refusal else Mark.TRIGGER
        note = intervention.trigger_id or ""
        yield Line(mark, step.channel, intervention.injected, None, note)


def timeline(trace: Trace) -> RenderableType:
    """All lines, by channel; the plain texts where nothing was judged."""
    parts: list[RenderableType] = []
    lines = list(lines_of(trace))
    if not lines:
        for channel in Channel:
            text = trace.text_of(channel).strip()
            if text:
                parts += [heading(channel), Text(visible(text))]
        return Group(*parts)
    shown: Channel | None = None
    table = _grid()
    for line in lines:
        if line.channel is not shown:
            shown = line.channel
            table = _grid()
            parts += [heading(shown), table]
        table.add_row(*cells(line))
    return Group(*parts)


def heading(channel: Channel) -> Text:
    """What stands above a channel's lines."""
    return Text(channel.value.replace("_", " "), style="bold")


def cells(line: Line) -> tuple[Text, Text]:
    """Score or word at the left, the text at its right."""
    text = Text(visible(line.text.strip()) or "(no text kept)", style=STYLES[line.mark])
    if line.mark is Mark.STEP:
        return Text(score_text(line.score), style=score_style(line.score)), text
    if line.mark is Mark.TRIGGER:
        return Text("trigger", style="green"), text
    if line.mark is Mark.REFUSAL:
        return Text("refusal", style="yellow"), text
    word, style = ("CUE out", "bold red") if line.mark is Mark.CUE else ("CUE kept", "bold yellow")
    score = f" {score_text(line.score)}" if line.score is not None else ""
    return Text(f"{word}{score}", style=style), text


def score_text(score: float | None) -> str:
    """Two decimals; `-` where nothing was scored."""
    return "-" if score is None else f"{score:.2f}"


def score_style(score: float | None) -> str:
    """The higher, the warmer."""
    if score is None:
        return "dim"
    return "dim green" if score < 0.2 else "yellow" if score < 0.5 else "red"


def _grid() -> Table:
    table = Table.grid(padding=(0, 1))
    table.add_column(justify="right", no_wrap=True, min_width=13)
    table.add_column(overflow="fold")
    return table
