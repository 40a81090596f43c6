"""Colours and marks of the trace viewer. What a colour says a word says too, in every theme."""

from dataclasses import dataclass

from rich.style import Style

from ..guard import Action
from .story import Kind

NUM_LEVELS = 10


def level_of(score: float) -> int:
    """Which of the `NUM_LEVELS` equal parts of 0..1 a score is in."""
    return min(NUM_LEVELS - 1, max(0, int(score * NUM_LEVELS)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Theme:
    """How a rendered trace looks."""

    name: str
    levels: tuple[Style, ...]
    """Of a token by its score, in `NUM_LEVELS` equal parts of 0..1."""

    rows: dict[Kind, Style]
    """Of a row's text; steps are tinted token by token instead."""

    word: Style
    """Of headings."""

    quiet: Style
    """Of numbers and marks that are no part of the text."""

    alarm: Style
    """Of the word CUE."""

    added: Style
    """Of the word INJECTED."""

    flash: Style
    """Of a cue in the moment in which it is found."""

    actions: dict[Action, Style]

    side_by_side: bool = True
    """Whether branches stand beside each other where there is room for it."""

    bars: bool = True
    """Whether the gutter draws the score as a bar; a screen reader would spell it out."""

    def level(self, score: float | None) -> Style:
        """The tint of a token."""
        if score is None:
            return _NONE
        return self.levels[level_of(score)]


_NONE = Style.null()


@dataclass(frozen=True, slots=True, kw_only=True)
class Palette:
    """The colours of one background, each in rich's words for a style."""

    levels: tuple[str, ...]
    word: str
    quiet: str
    markup: str
    removed: str
    trigger: str
    good: str
    """Of what was injected or allowed."""

    caution: str
    """Of what was refused or audited."""

    strong: str
    """Of interventions."""

    alarm: str
    """Of cues and blocks."""

    def theme(self, name: str) -> Theme:
        """What is drawn in these colours."""
        style = Style.parse
        return Theme(
            name=name,
            levels=tuple(map(style, self.levels)),
            rows={
                Kind.PASSED: _NONE,
                Kind.UNJUDGED: _NONE,
                Kind.MARKUP: style(self.markup),
                Kind.REMOVED: style(self.removed),
                Kind.TRIGGER: style(self.trigger),
                Kind.REFUSAL: style(self.caution),
            },
            word=style(self.word),
            quiet=style(self.quiet),
            alarm=style(self.alarm),
            added=style(self.good),
            flash=style("bold #ffffff on #d70000"),
            actions={
                Action.ALLOW: style(self.good),
                Action.AUDIT: style(self.caution),
                Action.INTERVENE: style(self.strong),
                Action.BLOCK: style(self.alarm),
            },
        )


DARK = Palette(
    levels=(
        "none", "#d7d7af", "#ffd787", "#ffd75f", "#ffaf5f", "#ff875f", "bold #ff5f5f",
        "bold #ffffff on #870000", "bold #ffffff on #af0000", "bold #ffffff on #d70000",
    ),
    word="bold #87afff",
    quiet="#8a8a8a",
    markup="dim italic",
    removed="strike #ff8787",
    trigger="bold #87d787",
    good="bold #5fd75f",
    caution="bold #ffd75f",
    strong="bold #ff875f",
    alarm="bold #ff5f5f",
).theme("dark")  # fmt: skip

LIGHT = Palette(
    levels=(
        "none", "#5f5f00", "#875f00", "#af5f00", "#d75f00", "bold #d75f00", "bold #d70000",
        "bold #870000 on #ffd7d7", "bold #870000 on #ffafaf", "bold #ffffff on #d70000",
    ),
    word="bold #005faf",
    quiet="#6c6c6c",
    markup="italic #767676",
    removed="strike #af0000",
    trigger="bold #005f00",
    good="bold #007000",
    caution="bold #875f00",
    strong="bold #d75f00",
    alarm="bold #d70000",
).theme("light")  # fmt: skip

_BOLD = Style(bold=True)

MONO = Theme(
    name="mono",
    levels=(_NONE,) * 5 + (Style(underline=True),) * 4 + (Style(underline=True, bold=True),),
    rows={
        Kind.PASSED: _NONE,
        Kind.UNJUDGED: _NONE,
        Kind.MARKUP: Style(italic=True),
        Kind.REMOVED: Style(strike=True),
        Kind.TRIGGER: _BOLD,
        Kind.REFUSAL: _BOLD,
    },
    word=_BOLD,
    quiet=_NONE,
    alarm=Style(bold=True, reverse=True),
    added=_BOLD,
    flash=Style(bold=True, reverse=True),
    actions=dict.fromkeys(Action, _BOLD),
)

SPOKEN = Theme(
    name="spoken",
    levels=(_NONE,) * NUM_LEVELS,
    rows=dict.fromkeys(Kind, _NONE),
    word=_NONE,
    quiet=_NONE,
    alarm=_NONE,
    added=_NONE,
    flash=_NONE,
    actions=dict.fromkeys(Action, _NONE),
    side_by_side=False,
    bars=False,
)
"""Words only, one column, in reading order: for screen readers and pipes."""

THEMES = {theme.name: theme for theme in (DARK, LIGHT, MONO, SPOKEN)}
