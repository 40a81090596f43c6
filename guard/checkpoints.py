"""Where a rollback takes the detector back to: its states before what may be taken out."""

from typing import Any

from .channels import Channel


class Checkpoints:
    """The detector's states where the open step and the open tool call began. A call is taken out
    whole, since a trigger inside its arguments would break it."""

    __slots__ = ("_at_call", "_at_step", "_in_call")

    def __init__(self, state: Any) -> None:
        """`state` is the one before the first step."""
        self._at_step = self._at_call = state
        self._in_call = False

    def between_steps(self, state: Any, *, in_call: bool) -> None:
        """Text that belongs to no step has passed; `in_call`: what follows lies in a tool call."""
        if in_call and not self._in_call:
            self._at_call = state
        self._in_call = in_call

    def step_done(self, state: Any) -> None:
        """A step has passed; the next one begins here."""
        self._at_step = state

    def roll_back(self, channel: Channel) -> Any:
        """The state to go on in when a step of this channel has been taken out."""
        if channel is Channel.TOOL_CALL:
            self._at_step = self._at_call
        self._in_call = False
        return self._at_step
