"""What may leave: settled text waits here for its verdict, or until the hold policy lets go.

Pure bookkeeping over offsets. With `hold="step"` nothing passes before its step is judged, so what
is taken out was never released.
"""

from collections import deque

from .channels import Channel
from .config import Hold
from .events import Released
from .steps import Piece


class ReleaseGate:
    """Text of one stream on its way out."""

    def __init__(self, hold: Hold) -> None:
        self._hold = hold
        self._waiting: deque[tuple[str, Channel | None, int]] = deque()
        self._step_open = False
        self.released = 0
        """Offset up to which the text has left."""
        self._silence = 0
        self.wait_tokens = 0
        """The longest run of tokens during which nothing left."""

    def token(self) -> None:
        """A token has been generated."""
        self._silence += 1
        if self._silence > self.wait_tokens:
            self.wait_tokens = self._silence

    def settle(self, piece: Piece, *, in_call: bool = False) -> list[Released]:
        """Takes in a settled piece; gives what may leave at once.

        `in_call`: the piece opens a tool call, or lies in one.
        """
        if piece.text:
            self._waiting.append((piece.text, piece.channel, piece.end))
        if piece.inside_step:
            self._step_open = True
        if self._hold == "none" or (not self._step_open and not in_call):
            return self.pass_to(piece.end)
        return []

    def step_passed(self, end: int, channel: Channel) -> list[Released]:
        """The open step, which ends at offset `end`, has its verdict and may leave.

        Parts of a tool call wait for the whole call: half a call is of no use to a client, and
        could not be taken back.
        """
        self._step_open = False
        return [] if channel is Channel.TOOL_CALL else self.pass_to(end)

    def pass_to(self, offset: int) -> list[Released]:
        """Lets everything up to `offset` leave."""
        out: list[Released] = []
        while self._waiting and self.released < offset:
            text, channel, end = self._waiting[0]
            if end <= offset:
                self._waiting.popleft()
            else:
                split = len(text) - (end - offset)
                self._waiting[0] = (text[split:], channel, end)
                text, end = text[:split], offset
            self.released = end
            if out and out[-1].channel is channel:
                text = out.pop().text + text
            out.append(Released(text, channel, end))
        if out:
            self._silence = 0
        return out

    def cut(self, offset: int) -> None:
        """A rollback: forgets all text beyond `offset`; what had left before is taken back."""
        self._step_open = False
        while self._waiting and self._waiting[-1][2] > offset:
            text, channel, end = self._waiting.pop()
            start = end - len(text)
            if start < offset:
                self._waiting.append((text[: offset - start], channel, offset))
        self.released = min(self.released, offset)
