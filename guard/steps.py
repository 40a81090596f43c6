"""What the segmenter gives: steps, and the pieces of text that they are made of.

Offsets count characters of the generated text on the branch that is kept, from the first generated
character; the prompt is not counted.
"""

from typing import NamedTuple

from .channels import Channel


class Mark(NamedTuple):
    """Everything the segmenter needs to go back to a position; a few small values."""

    offset: int
    """Characters of the text that are kept."""

    num_steps: int
    """Steps completed before this position."""

    state: tuple[object, ...]
    """The segmenter's own, opaque to others."""


class Step(NamedTuple):
    """One completed step: a sentence of the chain of thought or of the answer, or a part of one."""

    index: int  # pyright: ignore[reportIncompatibleMethodOverride]
    """Counted from 0 over all channels of the branch."""

    start: int
    """Offset of its first character."""

    end: int
    """Offset after its last character; trailing blanks belong to no step."""

    channel: Channel
    """A step lies in one."""

    text: str
    """`text[start:end]` of the branch."""

    mark: Mark
    """Where a rollback of this step cuts: its start, or for a part of a tool call the offset of the
    call's opening tag, since a trigger inside the arguments would break the call."""


class Piece(NamedTuple):
    """Text that is settled: known to belong to one step, or to none."""

    text: str
    """May be empty where it only completes a step."""

    end: int
    """Offset after its last character."""

    channel: Channel | None
    """`None` for control markup."""

    inside_step: bool
    """Whether the text belongs to a step; blanks between steps and markup do not."""

    step: Step | None
    """The step that this piece completes, if it does."""
