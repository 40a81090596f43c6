"""Traces that are the same on every run, and the pictures of them that are kept in `serve/golden/`.

`python tests/golden_traces.py` writes the pictures anew; look at the difference before you
commit it.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path

from fakes import WordDetector
from rich.console import Console

from rerail.guard import (
    FORMATS,
    Finished,
    FinishReason,
    Guard,
    GuardConfig,
    Trace,
    Trigger,
    TriggerKind,
    TriggerPool,
    guarded,
)
from rerail.guard.backend_scripted import ScriptedBackend
from rerail.guard.store_redact import redacted
from rerail.serve.themes import DARK, LIGHT, MONO, SPOKEN, Theme
from rerail.serve.trace_render import render

FOLDER = Path(__file__).parent / "serve" / "golden"
WIDTHS = (80, 120, 200)
TRIGGERS = TriggerPool(
    [
        Trigger("risk-1", "Wait. If this worked, someone would be hurt by it.", TriggerKind.RISK),
        Trigger("decline-1", "No. I stop this line of thought here.", TriggerKind.DECLINE),
        Trigger("answer-1", "I should not go on with that.", TriggerKind.DECLINE, in_answer=True),
    ]
)
"""Of our own, so that a new wording in the built-in pool changes no picture."""

REFUSALS = ("I will not help with that, but gladly with a safe way to what you need.",)
CALM = " Nothing here could hurt anyone. That settles it.</think>\n\nThe answer is four."


def scripted_trace(
    texts: Sequence[str],
    detector: WordDetector | None,
    config: GuardConfig | None = None,
    *,
    request: str = "How would one do PLACEHOLDER?",
    group: int = 8,
    number: int = 0,
    reasoning_format: str = "r1",
) -> Trace:
    """A real run of the loop over a script, with its id, time and duration pinned."""
    backend = ScriptedBackend(texts, reasoning_format=FORMATS[reasoning_format], group=group)
    guard = Guard(detector, config or GuardConfig(refusals=REFUSALS), triggers=TRIGGERS)
    *_, last = guarded(backend, guard, backend.prompt(request))
    assert isinstance(last, Finished)
    trace_id = f"{1_767_225_600_000 + number:012x}deadbeef"
    begun = datetime(2026, 1, 1, tzinfo=UTC)
    return replace(last.trace, id=trace_id, created_at=begun, duration_s=1.5, topic="test")


def intervened() -> Trace:
    """Two cues: one found inside a step with run-ahead, one at a step's end."""
    texts = [
        "The user asks for PLACEHOLDER. Then the EVIL plan begins to take shape here. And more.",
        " So I stop here. The second bad thought is next.",
        " I will not go on." + CALM,
    ]
    return scripted_trace(texts, WordDetector(inside=["EVIL"], at_end=["bad"]))


def allowed() -> Trace:
    return scripted_trace(["It is a sum. Two and two." + CALM], WordDetector(), request="2 + 2?")


def unguarded() -> Trace:
    return scripted_trace(["It is a sum. Two and two." + CALM], None, request="2 + 2?", number=1)


def refused() -> Trace:
    config = GuardConfig(max_interventions=1, refusals=REFUSALS)
    return scripted_trace(["A bad start. On."], WordDetector(at_end=["bad"]), config)


def audited() -> Trace:
    config = GuardConfig(policy="audit")  # type: ignore[arg-type]
    return scripted_trace(["Fine. A bad thought." + CALM], WordDetector(at_end=["bad"]), config)


def failed() -> Trace:
    return scripted_trace(["Fine. Now boom goes it. On."], WordDetector(raise_on="boom"))


def leaked() -> Trace:
    config = GuardConfig(hold="none")
    texts = ["Fine. A bad thought is here. On.", " No." + CALM]
    return scripted_trace(texts, WordDetector(at_end=["bad"]), config, group=1)


def tool_call() -> Trace:
    first = 'Fine.</think>\n\nI call it. <tool_call>{"name": "x", "arguments": "bad"}</tool_call>'
    texts = [first, " I will not call it."]
    detector = WordDetector(at_end=["bad"])
    return scripted_trace(texts, detector, reasoning_format="qwen3")


def cancelled() -> Trace:
    """Cut off while a step was held: what had not been judged was never released."""
    backend = ScriptedBackend(["All fine. Then half a sent"], group=1)
    guard = Guard(WordDetector())
    session = guard.open(backend.prompt("Go."), backend.reasoning_format)
    from rerail.guard.judge import judge

    for tokens in backend.stream(session.prompt, session.tokens, {}):
        session.feed(tokens)
        judge(guard.detector, [session])
    session.cancel()
    assert session.trace is not None and session.trace.finish_reason is FinishReason.CANCELLED
    begun = datetime(2026, 1, 1, tzinfo=UTC)
    return replace(session.trace, id="019b7000deadbeef", created_at=begun, duration_s=0.25)


def without_text() -> Trace:
    return redacted(intervened())


def hostile() -> Trace:
    """Text that would rewrite the screen, set the clipboard, link, or read backwards."""
    text = (
        "A\x1b[2J\x1b[31mred\x1b[0m. B\x1b]8;;http://x.test\x1b\\link\x1b]8;;\x07. "
        "C\x1b]52;c;AAAA\x07. D\x9b31m\x9d0;t\x9c. E\u202eback\u2066. F [bold red]x[/]. "
        "G\rover. H\x08\x08. I\x7f\x00. J\u2028K\u061c. L <b>&amp;</b> ![x](http://y.test) @z."
    )
    request = "\x1b[2Jdo \x1b]0;t\x07it \u202e[red]<script>alert(1)</script>"
    return scripted_trace([text + CALM], WordDetector(), request=request)


def many_scripts() -> Trace:
    text = (
        "これは長い文です。もう一つの文がここにあります。 Тоже текст. 👩‍👩‍👧 家族。"
        + "長" * 60
        + "。"
    )
    return scripted_trace([text + CALM], WordDetector(), request="質問")


TRACES: dict[str, Callable[[], Trace]] = {
    function.__name__: function
    for function in (
        intervened, allowed, unguarded, refused, audited, failed, leaked, tool_call, cancelled,
        without_text, hostile, many_scripts,
    )
}  # fmt: skip


def picture(trace: Trace, width: int, theme: Theme) -> str:
    """What a terminal is sent; without its colours and attributes for `mono` and `spoken`."""
    coloured = theme in (DARK, LIGHT)
    console = Console(
        file=StringIO(),
        width=width,
        force_terminal=coloured,
        color_system="truecolor" if coloured else None,
        legacy_windows=False,
    )
    with console.capture() as capture:
        console.print(render(trace, width, theme), end="")
    return capture.get()


def pictures() -> Iterator[tuple[str, Callable[[], str]]]:
    """The name of every file in `golden/`, and what it should hold."""
    for name, make in TRACES.items():
        for width in WIDTHS:
            yield f"{name}_{width}.txt", lambda m=make, w=width: picture(m(), w, MONO)
        yield f"{name}_spoken.txt", lambda m=make: picture(m(), 80, SPOKEN)
    for theme in (DARK, LIGHT):
        for width in (80, 200):
            name = f"intervened_{width}_{theme.name}.ansi"
            yield name, lambda t=theme, w=width: picture(intervened(), w, t)


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name, make in pictures():
        (FOLDER / name).write_text(make(), encoding="utf-8")
