"""Running generations, drawn: tokens as they come, the held step as held, cues, what replaced them.

Pure: state and size in, lines out. What happens too fast for an eye (a rollback takes a few
milliseconds) is drawn slower than it is; the generation does not wait for it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from rich.style import Style

from .lines import Line, indented, one_line, wrapped
from .live_trace import LiveTrace
from .story import Kind, Row, Story
from .themes import Theme
from .trace_render import MIN_WIDTH, gutter, row_lines, rule, tinted
from .wording import action_words, count

FLASH_S = 0.8
"""How long a cue flashes before it is drawn as rolled back."""

_TAIL_TOKENS = 600
_MIN_HEIGHT = 5


@dataclass(slots=True)
class Stream:
    """A generation on the screen."""

    live: LiveTrace
    flash_until: float = 0.0
    """By the clock that `now` is read from."""

    ended_at: float | None = None

    @property
    def is_over(self) -> bool:
        """Whether nothing more comes of it."""
        return self.live.finished is not None or self.live.lost


def screen_lines(
    streams: Sequence[Stream], recorded: Sequence[Line], width: int, height: int, theme: Theme,
    now: float,
) -> list[Line]:  # fmt: skip
    """The whole screen: the streams above one another, below them what has been recorded."""
    width = max(MIN_WIDTH, width)
    foot = recorded[-max(1, height // 5) :] if recorded else []
    room = height - len(foot) - 2
    shown = list(streams[: max(1, room // _MIN_HEIGHT)])
    lines: list[Line] = []
    for index, stream in enumerate(shown):
        share = room // len(shown) + (index < room % len(shown))
        lines += stream_lines(stream, width, share, theme, now)
    if not shown:
        lines += wrapped([("waiting for a generation", theme.quiet)], width)
    lines = lines[:room] + [[] for _ in range(room - len(lines))]
    words = f"recorded while watching: {len(recorded)}"
    if len(streams) > len(shown):
        words = f"{len(streams) - len(shown)} more streams do not fit; {words}"
    lines.append(rule(words, width, theme))
    lines += foot
    lines.append(one_line([("Ctrl-C ends watching, not the generations", theme.quiet)], width))
    return lines


def stream_lines(stream: Stream, width: int, height: int, theme: Theme, now: float) -> list[Line]:
    """One stream in exactly `height` lines: the end of its text."""
    live = stream.live
    request = " ".join((live.begin.request if live.begin else "").split())
    head = one_line(
        [
            (f"{stream_state(stream)} ", theme.actions[live.action]),
            (f"{count(len(live.tokens), 'token')}, {live.stream}: {request}", theme.word),
        ],
        width,
    )
    room = max(1, height - 1)
    lines = _rows(stream, width, theme, now < stream.flash_until)[-room:]
    return [head, *lines, *([] for _ in range(room - len(lines)))]


def stream_state(stream: Stream) -> str:
    """Whether it runs, and what the guard did so far."""
    live = stream.live
    if live.lost:
        return "LOST (its process is gone)"
    word = action_words(live.action)
    return f"{word}, ended by {live.finished[1].value}," if live.finished else f"{word} so far,"


def _rows(stream: Stream, width: int, theme: Theme, flashing: bool) -> list[Line]:
    live = stream.live
    trace, released = live.tail(_TAIL_TOKENS)
    story = Story.of(trace)
    holds = trace.detector != "none" and trace.hold != "none" and trace.policy != "audit"
    rows = list(story.rows)
    if flashing:
        last = max((i for i, row in enumerate(rows) if row.kind is Kind.REMOVED), default=None)
        del rows[len(rows) if last is None else last + 1 :]
    lines: list[Line] = []
    end = 0
    for index, row in enumerate(rows):
        if row.kind is not Kind.REMOVED:
            end += len(row.lead) + len(row.text)
        if flashing and index == len(rows) - 1 and row.kind is Kind.REMOVED:
            lines += _flash_lines(row, width, theme)
        elif holds and not stream.is_over and end > released and row.kind is Kind.UNJUDGED:
            lines += _held_lines(row, width, theme)
        else:
            lines += row_lines(story, row, width, theme)
    return lines


def _held_lines(row: Row, width: int, theme: Theme) -> list[Line]:
    first = gutter(row, theme)
    size = sum(len(text) for text, _ in first)
    quiet = Style(italic=True)
    runs = [("HELD ", theme.word), *((text, style + quiet) for text, style in tinted(row, theme))]
    return indented(wrapped(runs, width - size), first, [(" " * size, Style.null())])


def _flash_lines(row: Row, width: int, theme: Theme) -> list[Line]:
    first = gutter(row, theme)
    size = sum(len(text) for text, _ in first)
    runs = [("CUE found, rolling back: ", theme.alarm), (row.text.strip(), theme.flash)]
    return indented(wrapped(runs, width - size), first, [(" " * size, Style.null())])
