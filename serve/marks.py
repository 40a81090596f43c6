"""How the live views mark what the guard does.

Words say what colours show, so that nothing is lost in a pipe, with NO_COLOR or to a reader who
cannot tell red from green.
"""

from enum import StrEnum


class Mark(StrEnum):
    """What the guard did to a stretch of text."""

    CUE = "cue"
    """A step that was taken out."""

    TRIGGER = "trigger"
    REFUSAL = "refusal"


STYLES = {
    Mark.CUE: "red strike",
    Mark.TRIGGER: "bold green",
    Mark.REFUSAL: "bold yellow",
}
"""How each is shown."""


def score_text(score: float | None) -> str:
    """Two decimals; `-` where nothing was scored."""
    return "-" if score is None else f"{score:.2f}"
