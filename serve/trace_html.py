"""A trace as one HTML page without scripts, fonts or anything else from elsewhere.

Rolled-back text is a `<del>`, injected text an `<ins>`, and every token says its score to the
pointer, so the page reads well without its colours too.
"""

from collections.abc import Iterator
from html import escape

from ..guard import Channel, Trace
from . import wording
from .story import Kind, Row, Story
from .themes import NUM_LEVELS, level_of
from .visible import visible

_STYLE = """
:root { color-scheme: light dark; --ink: #1c1c1c; --paper: #fff; --quiet: #666; --line: #ddd;
  --alarm: #b00020; --added: #00662b; --heat: 215, 0, 0; }
@media (prefers-color-scheme: dark) { :root { --ink: #e4e4e4; --paper: #17181c; --quiet: #9a9a9a;
  --line: #383a40; --alarm: #ff6b6b; --added: #5fd787; --heat: 255, 70, 40; } }
body { color: var(--ink); background: var(--paper); font: 16px/1.5 system-ui, sans-serif;
  max-width: 70rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.3rem; } h2 { font-size: 1.05rem; margin-top: 2rem; }
.quiet { color: var(--quiet); font-weight: normal; }
blockquote { margin: 1rem 0; padding: .3rem 1rem; border-left: .25rem solid var(--line); }
ol { list-style: none; padding: 0; margin: 0; }
li { display: grid; grid-template-columns: 3rem 3.2rem 1fr; gap: .4rem; padding: .15rem 0;
  border-top: 1px solid var(--line); }
.n, .s { text-align: right; color: var(--quiet); font-variant-numeric: tabular-nums; }
.t { white-space: pre-wrap; overflow-wrap: anywhere; }
.branches { display: grid; grid-template-columns: repeat(auto-fit, minmax(20rem, 1fr)); gap: 1rem; }
.cue { color: var(--alarm); font-weight: bold; } .put { color: var(--added); font-weight: bold; }
del, ins { display: block; padding: .3rem .6rem; border-left: .25rem solid; white-space: pre-wrap;
  overflow-wrap: anywhere; }
del { color: var(--alarm); } ins { color: var(--added); text-decoration: none; font-weight: bold; }
dl { display: grid; grid-template-columns: 9rem 1fr; } dt { color: var(--quiet); } dd { margin: 0; }
"""


def trace_html(trace: Trace) -> str:
    """The whole page."""
    story = Story.of(trace)
    title = f"{wording.action_words(trace.action)}: trace {trace.id}"
    body = "\n".join(_body(story))
    heat = "\n".join(
        f".h{level} {{ background: rgba(var(--heat), {level / NUM_LEVELS * 0.55:.2f}); }}"
        for level in range(1, NUM_LEVELS)
    )
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{safe(title)}</title>\n<style>{_STYLE}{heat}\n</style>\n</head>\n<body>\n"
        f"{body}\n</body>\n</html>\n"
    )


def safe(text: str) -> str:
    """Text of a model or a user as text of the page, whatever it holds."""
    return escape(visible(text))


def _body(story: Story) -> Iterator[str]:
    trace = story.trace
    begun = f"{trace.created_at:%Y-%m-%d %H:%M:%S} UTC"
    words = f'<span class="quiet">trace {safe(trace.id)}, {begun}</span>'
    yield f"<h1>{wording.action_words(trace.action)} {words}</h1>"
    yield f"<p>{safe(wording.headline(trace))}</p>"
    request = safe(trace.request or wording.NOT_STORED)
    yield f"<h2>request</h2>\n<blockquote class=t>{request}</blockquote>"
    channel: Channel | None = None
    is_open = False
    index = 0
    while index < len(story.rows):
        row = story.rows[index]
        if not is_open or (row.channel is not None and row.channel is not channel):
            if is_open:
                yield "</ol>"
            channel, is_open = row.channel, True
            yield f"<h2>{wording.CHANNELS[channel]}</h2>\n<ol>"
        if row.kind is Kind.REMOVED:
            end = index + 1
            while end < len(story.rows) and story.rows[end].ordinal == row.ordinal:
                end += 1
            yield _branches(story, row, story.rows[index + 1 : end])
            index = end
        else:
            yield _item(story, row)
            index += 1
    if is_open:
        yield "</ol>"
    yield "<h2>facts</h2>\n<dl>"
    for name, value in wording.facts(trace):
        yield f"<dt>{name}</dt><dd>{safe(value)}</dd>"
    yield "</dl>"
    for failure in trace.failures:
        yield f'<p class="cue">detector failed: {safe(failure)}</p>'


def _item(story: Story, row: Row) -> str:
    text = _text(row)
    if row.kind is Kind.PASSED:
        words = safe(wording.passed_words(row, story.trace))
        text = f'<span class="cue">CUE</span> {words}\n{text}'
    elif row.kind is Kind.MARKUP:
        text = f'<span class="quiet">markup {text}</span>'
    return f"<li>{_gutter(row)}<span class=t>{text}</span></li>"


def _branches(story: Story, removed: Row, kept: tuple[Row, ...]) -> str:
    words = safe(wording.cue_words(removed, story))
    left = f"<div><span class=cue>ROLLED BACK</span><del>{_text(removed)}</del></div>"
    right = ""
    for row in kept:
        if row.kind is Kind.MARKUP:
            right += f"<div class=quiet>markup {_text(row)}</div>"
            continue
        assert row.ordinal is not None
        what = safe(wording.injected_words(story.trace.interventions[row.ordinal]))
        right += f"<div><span class=put>INJECTED</span> {what}<ins>{_text(row)}</ins></div>"
    inner = f"<div class=branches>{left}<div>{right}</div></div>"
    head = f"<span class=cue>{wording.cue_word(removed)}</span> {words}"
    return f"<li>{_gutter(removed)}<div>{head}{inner}</div></li>"


def _gutter(row: Row) -> str:
    number, score = wording.number_text(row), wording.row_score_text(row)
    return f"<span class=n>{number}</span><span class=s>{score}</span>"


def _text(row: Row) -> str:
    if not row.text.strip():
        return f'<span class="quiet">({wording.NOT_STORED})</span>'
    if all(piece.score is None for piece in row.pieces):
        return safe(row.text.strip())
    parts: list[str] = []
    for piece in row.pieces:
        if piece.score is None or not piece.text:
            parts.append(safe(piece.text))
            continue
        level = level_of(piece.score)
        shade = f" class=h{level}" if level else ""
        score = wording.score_text(piece.score)
        parts.append(f'<span{shade} title="{score}">{safe(piece.text)}</span>')
    return "".join(parts)
