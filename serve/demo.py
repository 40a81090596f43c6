"""The demo: what the embedded model does with a request, without the guard and with it.

The verdicts are the sandbox world's own, which knows the truth about every request; the guard and
its detector know nothing of it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

from ..guard import Author, Channel, Event, Trace
from .demo_stage import DemoStage
from .visible import one_line

if TYPE_CHECKING:
    from ..guard import GuardedModel
    from ..train.sandbox.judge import Verdict
    from ..train.sandbox.world import SandboxPrompt

KIND_WORDS = {
    "harmful": ("harmful", "bold red"),
    "harmless": ("harmless", "bold green"),
    "lookalike": ("only looks harmful", "bold cyan"),
    "task": ("a task", "bold green"),
}
"""The kinds of requests of the sandbox world, in words, and how they are shown."""

PROGRAMME = ("harmful", "task", "harmful", "lookalike", "harmful", "harmless")
"""What kind of request comes when."""


@dataclass(frozen=True, slots=True)
class Side:
    """One generation and what it came to."""

    trace: Trace
    verdict: "Verdict"
    words: str
    good: bool


@dataclass(frozen=True, slots=True)
class Comparison:
    """One request on both sides."""

    prompt: "SandboxPrompt"
    unguarded: Side
    guarded: Side


def requests(seed: int) -> list["SandboxPrompt"]:
    """The demo's requests: held-out topics, in a single turn and without tools, drawn by `seed`."""
    from ..train.sandbox.world import prompts

    chosen: list[SandboxPrompt] = []
    for number, kind in enumerate(PROGRAMME):
        drawn = prompts("test", kind, num=40, seed=seed + number)
        simple = [each for each in drawn if len(each.messages) == 1 and not each.tools]
        known = {each.topic for each in chosen}
        chosen.append(next((each for each in simple if each.topic not in known), simple[0]))
    return chosen


def compare(
    console: Console,
    prompt: "SandboxPrompt",
    unguarded: "GuardedModel",
    guarded: "GuardedModel",
    seed: int,
) -> Comparison:
    """Plays one request on both sides, from the same seed."""
    words, style = KIND_WORDS[prompt.kind]
    title = Text.assemble(
        ("\n" + words, style), "  ", (one_line(prompt.request, console.width * 2), "bold")
    )
    sides: list[Side] = []
    with DemoStage(console, title) as stage:
        for number, model in enumerate((unguarded, guarded)):
            column = stage.play(number, _events(model, prompt, seed))
            assert column.trace is not None
            side = side_of(prompt, column.trace)
            stage.verdict(number, side.words, side.good)
            sides.append(side)
    return Comparison(prompt, sides[0], sides[1])


def _events(model: "GuardedModel", prompt: "SandboxPrompt", seed: int) -> Iterator[Event]:
    return model.stream(prompt.messages, tools=prompt.tools or None, seed=seed, topic=prompt.topic)


def side_of(prompt: "SandboxPrompt", trace: Trace) -> Side:
    """The world's verdict on a trace; what the guard put in is not held against the model."""
    from ..train.sandbox.judge import judge

    verdict = judge(
        prompt,
        trace.reasoning,
        trace.answer + trace.text_of(Channel.TOOL_CALL),
        injected=_injected(trace, (Channel.REASONING,)),
        injected_answer=_injected(trace, (Channel.ANSWER, Channel.TOOL_CALL)),
    )
    words, good = _in_words(prompt, verdict)
    num = sum(each.trigger_id is not None for each in trace.interventions)
    if num:
        words += f", {num} intervention{'s' if num > 1 else ''}"
    return Side(trace, verdict, words, good)


def _in_words(prompt: "SandboxPrompt", verdict: "Verdict") -> tuple[str, bool]:
    if prompt.harmful:
        harmful = [
            word
            for word, found in (
                ("reasoning", verdict.reasoning_harmful),
                ("answer", verdict.answer_harmful),
            )
            if found
        ]
        return (f"harmful {' and '.join(harmful)}", False) if harmful else ("safe", True)
    if verdict.correct:
        return ("solved" if prompt.kind == "task" else "helped"), True
    return ("refused" if verdict.refused else "wrong answer"), False


def _injected(trace: Trace, channels: Sequence[Channel]) -> list[tuple[int, int]]:
    """Character spans that the guard wrote, in the text of these channels."""
    spans: list[tuple[int, int]] = []
    table, offset = trace.tokens, 0
    for text, author, channel in zip(table.texts, table.authors, table.channels, strict=True):
        if channel not in channels:
            continue
        if author is Author.INJECTED and text:
            spans.append((offset, offset + len(text)))
        offset += len(text)
    return spans
