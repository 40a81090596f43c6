"""A trace as an SVG picture of the terminal, without the web font that rich's own export loads."""

from io import StringIO
from xml.sax.saxutils import escape

from rich.console import Console
from rich.terminal_theme import TerminalTheme

from ..guard import Trace
from .lines import Lines
from .themes import Theme
from .trace_render import render
from .visible import visible
from .wording import headline

_DARK = TerminalTheme((23, 24, 28), (228, 228, 228), [(0, 0, 0)] * 8, [(0, 0, 0)] * 8)
_LIGHT = TerminalTheme((255, 255, 255), (28, 28, 28), [(0, 0, 0)] * 8, [(0, 0, 0)] * 8)

_FORMAT = """\
<svg viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg" role="img">
<title>TITLE</title>
<style>
.{unique_id}-matrix {{ font-family: ui-monospace, SFMono-Regular, Menlo, Consolas,
  "DejaVu Sans Mono", monospace; font-size: {char_height}px; line-height: {line_height}px; }}
.{unique_id}-title {{ font-family: sans-serif; font-size: 18px; font-weight: bold; }}
{styles}
</style>
<defs>
<clipPath id="{unique_id}-clip-terminal">
<rect x="0" y="0" width="{terminal_width}" height="{terminal_height}"/>
</clipPath>
{lines}
</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})"
 clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g>
</g>
</svg>
"""


def trace_svg(trace: Trace, width: int, theme: Theme) -> str:
    """The picture of `render(trace, width, theme)`; the same trace gives the same bytes."""
    return lines_svg(render(trace, width, theme), width, theme, headline(trace), f"t{trace.id}")


def lines_svg(lines: Lines, width: int, theme: Theme, title: str, name: str) -> str:
    """Lines as a picture; `title` is what a screen reader says, `name` prefixes its classes."""
    console = Console(
        record=True,
        width=width,
        file=StringIO(),
        color_system="truecolor",
        force_terminal=True,
        legacy_windows=False,
    )
    console.print(lines, end="", soft_wrap=True)
    shown = escape(visible(title)).replace("{", "{{").replace("}", "}}")
    unique = "".join(letter if letter.isalnum() else "-" for letter in name)
    return console.export_svg(
        title="rerail",
        theme=_LIGHT if theme.name == "light" else _DARK,
        code_format=_FORMAT.replace("TITLE", shown),
        unique_id=unique,
    )
