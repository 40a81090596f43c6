"""A trace as Markdown, for an issue or a report.

Model text is escaped so that it can make no link, image, mention or markup of its own.
"""

import re
from collections.abc import Iterator

from ..guard import Channel, Trace
from . import wording
from .story import Kind, Row, Story
from .visible import visible

_SPECIAL = re.compile(r"([\\`*_{}\[\]<>|~&!$^=()+.\"'-])")
_LINKING = re.compile(r"@|#|://|www(?=\\\.)|mailto(?=:)")


def trace_markdown(trace: Trace) -> str:
    """The whole document."""
    return "\n".join(_document(Story.of(trace))) + "\n"


def plain(text: str) -> str:
    """Text of a model or a user as one line that renders as itself."""
    line = " ".join(visible(text).split())
    escaped = _SPECIAL.sub(r"\\\1", line)
    # An empty comment cuts mentions, issue numbers and bare addresses before they become links.
    return _LINKING.sub(lambda match: match[0] + "<!-- -->", escaped)


def _document(story: Story) -> Iterator[str]:
    trace = story.trace
    yield f"# {wording.action_words(trace.action)}: trace {plain(trace.id)}\n"
    yield f"{plain(wording.headline(trace))}\n"
    yield f"> {plain(trace.request or wording.NOT_STORED)}\n"
    channel: Channel | None = None
    is_open = False
    for row in story.rows:
        if not is_open or (row.channel is not None and row.channel is not channel):
            channel, is_open = row.channel, True
            yield f"\n## {wording.CHANNELS[channel]}\n"
            yield "| step | score | what | text |\n|---:|---:|---|---|"
        yield _line(story, row)
    yield "\n## facts\n"
    yield "| | |\n|---|---|"
    for name, value in wording.facts(trace):
        yield f"| {name} | {plain(value)} |"
    for failure in trace.failures:
        yield f"\n**detector failed:** {plain(failure)}"


def _line(story: Story, row: Row) -> str:
    number, score = wording.number_text(row), wording.row_score_text(row)
    what, text = "", plain(row.text) or f"({wording.NOT_STORED})"
    if row.kind is Kind.REMOVED:
        words = plain(wording.cue_words(row, story))
        what, text = f"**{wording.cue_word(row)}** {words}", f"~~{text}~~"
    elif row.kind in (Kind.TRIGGER, Kind.REFUSAL):
        assert row.ordinal is not None
        words = wording.injected_words(story.trace.interventions[row.ordinal])
        what, text = f"**INJECTED** {plain(words)}", f"**{text}**"
        number = score = ""
    elif row.kind is Kind.PASSED:
        what = f"**CUE** {plain(wording.passed_words(row, story.trace))}"
    elif row.kind in (Kind.MARKUP, Kind.UNJUDGED):
        what = row.kind.value
    return f"| {number} | {score} | {what} | {text} |"
