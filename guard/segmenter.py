"""Cuts generated text into steps while it arrives: sentences and lines, each in one channel.

`read` gives text out as soon as it is known to be in a step or in none, long before the step ends;
what may still turn out either way is withheld: a control tag's beginning, blanks (inside a step or
after it), the word after "U.S.". The steps never depend on how the text was cut into chunks.

Fenced code is judged in groups of lines: a group ends at a blank line, at the closing fence, or
near the length cap, since a single line of code seldom says what it is for. A step that nears the
cap ends at the first blank in the last eighth before it, else at the cap exactly: the last blank
before the cap would be known only when the text after it had been given out.
"""

from .channel_parser import ChannelParser, ChannelState
from .channels import Channel
from .reasoning_format import ReasoningFormat
from .sentences import LOOKAHEAD, STOPS, belongs_to_stop, ends_at_blank, ends_before
from .step_events import (
    BLANKS,
    CODE_CANDIDATE,
    CODE_EVENT,
    FENCE_CLOSES,
    FENCE_OPENS,
    LINE_BREAK,
    PROSE_CANDIDATE,
    PROSE_EVENT,
)
from .steps import Mark, Piece, Step

MAX_GAP = 32
"""A longer run of blanks ends a step, which bounds what is withheld."""

_WAIT = -1

_new_piece = tuple.__new__
"""`Piece(...)` at half its price, for the one place that every token passes."""


class Segmenter:
    """Text in, steps and the pieces that they are made of out; one per generation."""

    __slots__ = (
        "_at_line_start",
        "_call_mark",
        "_candidate",
        "_cap",
        "_code_start",
        "_event",
        "_fluent",
        "_num_steps",
        "_open_mark",
        "_parser",
        "_step_at_line_start",
        "_stopped",
        "_tail",
        "_text",
        "_zone",
        "channel",
        "settled",
    )

    def __init__(
        self,
        reasoning_format: ReasoningFormat,
        *,
        reasoning_open: bool,
        max_step_chars: int = 400,
    ) -> None:
        if max_step_chars < 8:
            raise ValueError(f"max_step_chars must be at least 8, not {max_step_chars}")
        self._parser = ChannelParser(reasoning_format, reasoning_open=reasoning_open)
        self._cap = max_step_chars
        self._zone = max_step_chars - max_step_chars // 8

        self.settled = 0
        """Offset up to which text has been given out as pieces."""

        self.channel: Channel = self._parser.state.channel
        """Of the text to come."""

        self._num_steps = 0
        self._tail = ""  # fed, not settled
        self._text = ""  # of the open step, as far as it is settled
        self._open_mark: Mark | None = None  # the open step's start
        self._call_mark: Mark | None = None  # the tool call's opening tag
        self._stopped = False  # the open step's text ends in a stop and its closing marks
        self._code_start: int | None = None  # end of the line that opened the code block
        self._at_line_start = True
        self._step_at_line_start = False
        self._event, self._candidate = PROSE_EVENT, PROSE_CANDIDATE
        self._fluent = False  # a step is open and nothing is undecided

    def read(self, text: str) -> list[Piece]:
        """The pieces that `text` settles, in order; together they are the text fed so far."""
        if (
            self._fluent
            and self._candidate.search(text) is None
            and text[-1:] != " "
            and "  " not in text
            and text
        ):
            step_text = self._text + text
            if len(step_text) < self._zone:
                self._text = step_text
                self.settled = end = self.settled + len(text)
                return [_new_piece(Piece, (text, end, self.channel, True, None))]
        return self._scan(self._tail + text, final=False)

    def end(self) -> list[Piece]:
        """Settle everything and close the open step."""
        return self._scan(self._tail, final=True)

    def feed(self, text: str) -> list[Step]:
        """The steps that `text` completes."""
        return [piece.step for piece in self.read(text) if piece.step is not None]

    def flush(self) -> list[Step]:
        """The steps that the end of the text completes."""
        return [piece.step for piece in self.end() if piece.step is not None]

    def close_step(self) -> list[Piece]:
        """Force a boundary here, after injected text; the channel stays as it is."""
        return self._scan(self._tail, final=True)

    def mark(self) -> Mark:
        """Where a rollback of the open step cuts; if no step is open: here."""
        return self._here() if self._open_mark is None else self._call_mark or self._open_mark

    def rewind(self, mark: Mark) -> None:
        """Forget everything after `mark.offset`; the next text fed continues there."""
        assert mark.offset <= self.settled, "a mark lies in text that has been given out"
        state, call_mark, code_start, at_line_start = mark.state
        assert isinstance(state, ChannelState)
        assert call_mark is None or isinstance(call_mark, Mark)
        assert code_start is None or isinstance(code_start, int)
        self._parser.state = state
        self.channel = state.channel
        self.settled, self._num_steps = mark.offset, mark.num_steps
        self._call_mark = call_mark
        self._set_code(code_start)
        self._at_line_start = bool(at_line_start)
        self._tail = self._text = ""
        self._open_mark, self._stopped, self._fluent = None, False, False

    def lead_in(self, channel: Channel) -> str:
        """The text to write here so that what follows is in `channel`; "" if it is already.

        Raises ValueError for a way into or out of a tool call, and where the format has no chain
        of thought.
        """
        return self._parser.lead_in(channel)

    def _here(self) -> Mark:
        state = (self._parser.state, self._call_mark, self._code_start, self._at_line_start)
        return Mark(self.settled, self._num_steps, state)

    def _scan(self, data: str, *, final: bool) -> list[Piece]:
        """Settle as much of `data`, which begins at `settled`, as can be; keep the rest."""
        pieces: list[Piece] = []
        position = 0
        while position < len(data):
            step_over = self._outside if self._open_mark is None else self._inside
            after = step_over(data, position, final, pieces)
            if after == _WAIT:
                break
            position = after
        self._tail = data[position:]
        if final and self._open_mark is not None:
            self._end_step(pieces)
        self._fluent = not self._tail and not self._stopped and self._open_mark is not None
        return pieces

    def _outside(self, data: str, start: int, final: bool, pieces: list[Piece]) -> int:
        """Between steps: markup, blanks, or the first character of the next step."""
        markup = self._parser.find(data, start)
        if markup:
            return self._take(markup, start, pieces)
        if markup == "" and not final:
            return _WAIT
        if blanks := BLANKS.match(data, start):
            self._give(blanks[0], self.channel, False, pieces)
            self._at_line_start = self._at_line_start or LINE_BREAK.search(blanks[0]) is not None
            return blanks.end()
        self._parser.leave_role()
        self._open_mark = self._here()
        self._step_at_line_start, self._at_line_start = self._at_line_start, False
        return self._plain(data, start, pieces)

    def _inside(self, data: str, start: int, final: bool, pieces: list[Piece]) -> int:
        """In the open step: the end of a sentence, a gap, markup, or plain text."""
        character = data[start]
        if character.isspace():
            return self._gap(data, start, final, pieces)
        if character == "<":
            markup = self._parser.find(data, start)
            if markup == "" and not final:
                return _WAIT
            if markup:
                self._end_step(pieces)
                return start
        if self._stopped:
            if belongs_to_stop(self._text, character):
                return self._grow(data, start, start + 1, pieces)
            self._stopped = False
            if ends_before(self._text, character):
                self._end_step(pieces)
                return start
        return self._plain(data, start, pieces)

    def _plain(self, data: str, start: int, pieces: list[Piece]) -> int:
        """Give the text from a character that is no blank and no markup up to the next event."""
        if data[start] in STOPS and self._code_start is None:
            self._stopped = True
            return self._grow(data, start, start + 1, pieces)
        reach = min(len(data), start + self._cap + 1)
        event = self._event.search(data, start + 1, reach)
        end = event.start() if event else reach
        to_zone = self._zone - len(self._text)
        if end - start >= to_zone:
            blank = BLANKS.search(data, max(start + 1, start + to_zone), end)
            end = blank.start() if blank else end
        return self._grow(data, start, end, pieces)

    def _grow(self, data: str, start: int, end: int, pieces: list[Piece]) -> int:
        """Give text to the open step, no more than fits in it."""
        end = min(end, start + self._cap - len(self._text))
        self._text += data[start:end]
        self._give(data[start:end], self.channel, True, pieces)
        if len(self._text) >= self._cap:
            self._end_step(pieces)
        return end

    def _gap(self, data: str, start: int, final: bool, pieces: list[Piece]) -> int:
        """Blanks in the open step: they end it, lie inside it, or it is too early to say."""
        blanks = BLANKS.match(data, start)
        assert blanks is not None
        end = blanks.end()
        ends = self._ends_step(blanks[0])
        if not ends and end < len(data):
            markup = self._parser.find(data, end) if data[end] == "<" else None
            if markup == "" and not final:
                return _WAIT
            ends = bool(markup)
        if not ends and self._stopped:
            verdict = ends_at_blank(self._text, data[start : end + LOOKAHEAD])
            if verdict is None and not final:
                return _WAIT
            ends = verdict is not False
        if ends or (final and end == len(data)):
            self._end_step(pieces)
            return start
        self._stopped = False
        return _WAIT if end == len(data) else self._grow(data, start, end, pieces)

    def _ends_step(self, blanks: str) -> bool:
        """Whether these blanks end the open step whatever follows them.

        Blanks are weighed in order, so that it makes no difference how many have come.
        """
        length = len(self._text)
        allowed = max(1, min(MAX_GAP, self._zone - length))
        num_breaks = len(LINE_BREAK.findall(blanks[:allowed].replace("\r\n", "\n")))
        if num_breaks and self._code_start is None:
            if not (self._step_at_line_start and FENCE_OPENS.match(self._text)):
                return True
            self._set_code(self.settled)
        elif num_breaks and self._closes_fence():
            self._set_code(None)
            return True
        too_long = len(blanks) > allowed or length >= self._zone
        return too_long or num_breaks > 1 or (num_breaks == 1 and length > self._cap * 3 // 4)

    def _closes_fence(self) -> bool:
        """Whether the open step's last line is the closing fence."""
        *before, line = self._text.split("\n")
        whole_line = bool(before) or self._step_at_line_start
        opening_line = self.settled == self._code_start
        return whole_line and not opening_line and FENCE_CLOSES.match(line) is not None

    def _take(self, markup: str, start: int, pieces: list[Piece]) -> int:
        here = self._here()
        before = self.channel
        if self._parser.enter(markup) and self._call_mark is None:
            self._call_mark = here
        self.channel = self._parser.state.channel
        if self.channel is not Channel.TOOL_CALL:
            self._call_mark = None
        if self.channel is not before or before is Channel.TOOL_CALL:
            self._set_code(None)
        self._give(markup, None, False, pieces)
        self._at_line_start = True
        return start + len(markup)

    def _give(
        self, text: str, channel: Channel | None, inside_step: bool, pieces: list[Piece]
    ) -> None:
        self.settled += len(text)
        last = pieces[-1] if pieces else None
        if inside_step and last is not None and last.inside_step and last.step is None:
            text = pieces.pop().text + text
        pieces.append(Piece(text, self.settled, channel, inside_step, None))

    def _end_step(self, pieces: list[Piece]) -> None:
        assert self._open_mark is not None
        text, start = self._text, self._open_mark.offset
        mark = self._call_mark or self._open_mark
        step = Step(self._num_steps, start, self.settled, self.channel, text, mark)
        if pieces and pieces[-1].inside_step and pieces[-1].step is None:
            pieces[-1] = pieces[-1]._replace(step=step)
        else:
            pieces.append(Piece("", self.settled, self.channel, True, step))
        self._num_steps += 1
        self._text = ""
        self._open_mark, self._stopped = None, False

    def _set_code(self, start: int | None) -> None:
        self._code_start = start
        in_prose = start is None
        self._event = PROSE_EVENT if in_prose else CODE_EVENT
        self._candidate = PROSE_CANDIDATE if in_prose else CODE_CANDIDATE
