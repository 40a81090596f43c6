"""From what the guard releases to what a client gets: deltas, for streams and for whole answers.

A whole answer is its deltas put together, so it cannot differ from the streamed one. Where text had
left before its verdict (hold is not "step") a delta also says how much a client has to take back.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from ..guard import Channel, Released, Retracted
from ..guard.shared_start import num_shared
from .logprob_tap import GivenLogprob, LogprobTap
from .stop_strings import StopCut
from .wire_tool_calls import CallReader, ToolCall


@dataclass(frozen=True, slots=True, kw_only=True)
class Delta:
    """What comes next, after so many characters have been taken back off the end."""

    reasoning: str = ""
    content: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    retract_reasoning: int = 0
    retract_content: int = 0
    logprobs: tuple[GivenLogprob, ...] = ()
    retract_logprobs: int = 0

    def __bool__(self) -> bool:
        added = self.reasoning or self.content or self.tool_calls or self.logprobs
        return bool(added or self.retracts)

    @property
    def retracts(self) -> bool:
        """Whether text that had left is taken back."""
        return bool(self.retract_reasoning or self.retract_content)


@dataclass(slots=True)
class Whole:
    """Deltas put together."""

    reasoning: str = ""
    content: str = ""
    tool_calls: list[ToolCall] = field(default_factory=list)
    logprobs: list[GivenLogprob] = field(default_factory=list)

    def add(self, delta: Delta) -> None:
        """Takes back what the delta takes back, and adds what it adds."""
        self.reasoning = _cut(self.reasoning, delta.retract_reasoning) + delta.reasoning
        self.content = _cut(self.content, delta.retract_content) + delta.content
        self.tool_calls.extend(delta.tool_calls)
        del self.logprobs[len(self.logprobs) - delta.retract_logprobs :]
        self.logprobs.extend(delta.logprobs)


class Draft(Protocol):
    """Puts released text where it belongs; the same text in any pieces, the same result."""

    def feed(self, text: str, channel: Channel | None) -> Delta:
        """The next piece of released text; `None` is the channel of markup."""
        ...

    def flush(self) -> Delta:
        """What was held back; at the end."""
        ...


class Deltas:
    """One choice on its way to the client."""

    def __init__(self, new_draft: Callable[[], Draft], tap: LogprobTap | None = None) -> None:
        """`tap` has the log probabilities, if they are wanted."""
        self._new_draft = new_draft
        self._tap = tap
        self._draft = new_draft()
        self._released: list[Released] = []
        self._given = Whole()

    def take(self, event: Released | Retracted) -> Delta:
        """What the event brings; may be nothing."""
        if isinstance(event, Retracted):
            return self._taken_back(event)
        self._released.append(event)
        delta = self._draft.feed(event.text, event.channel)
        if self._tap is not None:
            delta = replace(delta, logprobs=self._tap.released(event.end))
        return self._give(delta)

    def flush(self) -> Delta:
        """What was held back; at the end."""
        return self._give(self._draft.flush())

    def _give(self, delta: Delta) -> Delta:
        self._given.add(delta)
        return delta

    def _taken_back(self, event: Retracted) -> Delta:
        """Drafts the text that stays once more: what differs is taken back."""
        left: list[Released] = []
        end = 0
        for each in self._released:
            text = each.text[: max(0, event.end - end)]
            end += len(each.text)
            if text:
                left.append(Released(text, each.channel, min(each.end, event.end)))
        self._released, self._draft = left, self._new_draft()
        stays = Whole()
        for each in left:
            stays.add(self._draft.feed(each.text, each.channel))
        num_logprobs = 0
        if self._tap is not None:
            self._tap.retracted(event.end)
            # by its end: a step may begin within a token, and that token goes with it
            num_logprobs = sum(each.end > event.end for each in self._given.logprobs)
        num_reasoning = num_shared(self._given.reasoning, stays.reasoning)
        num_content = num_shared(self._given.content, stays.content)
        delta = Delta(
            reasoning=stays.reasoning[num_reasoning:],
            content=stays.content[num_content:],
            retract_reasoning=len(self._given.reasoning) - num_reasoning,
            retract_content=len(self._given.content) - num_content,
            retract_logprobs=num_logprobs,
        )
        return self._give(delta)


class ChatDraft:
    """Reasoning, content and tool calls apart; blanks around reasoning and content are dropped."""

    def __init__(
        self, stops: Sequence[str], *, tools: bool, new_call_id: Callable[[int], str]
    ) -> None:
        """Without `tools` a call that the model writes all the same is content."""
        self._stop = StopCut(stops)
        self._tools = tools
        self._new_call_id = new_call_id
        self._reasoning, self._content = _Stripped(), _Stripped()
        self._call: CallReader | None = None
        self._num_calls = 0

    def feed(self, text: str, channel: Channel | None) -> Delta:
        if channel is Channel.REASONING:
            return Delta(reasoning=self._reasoning.feed(text))
        if channel is Channel.ANSWER:
            return Delta(content=self._content.feed(self._stop.feed(text)))
        if channel is Channel.TOOL_CALL:
            self._call = self._call or CallReader()
            self._call.feed(text)
            return Delta()
        if "tool_call" in text or "tool▁call" in text or " to=" in text:
            if self._call is not None and text.startswith("</"):
                return self._close_call()
            done = self._close_call()
            if not text.startswith("</"):
                self._call = CallReader()
                self._call.open(text)
            return done
        return self._close_call()

    def flush(self) -> Delta:
        call = self._close_call()
        rest = self._content.feed(self._stop.flush())
        return Delta(content=call.content + rest, tool_calls=call.tool_calls)

    def _close_call(self) -> Delta:
        call, self._call = self._call, None
        if call is None:
            return Delta()
        parsed = call.parsed() if self._tools else None
        if parsed is None:
            held = self._stop.flush()
            return Delta(content=self._content.feed(held + call.raw))
        index = self._num_calls
        self._num_calls += 1
        return Delta(tool_calls=(ToolCall(index, self._new_call_id(index), *parsed),))


class PlainDraft:
    """The generated text as it is, markup and all: what `/v1/completions` gives."""

    def __init__(self, stops: Sequence[str]) -> None:
        self._stop = StopCut(stops)

    def feed(self, text: str, channel: Channel | None) -> Delta:
        return Delta(content=self._stop.feed(text))

    def flush(self) -> Delta:
        return Delta(content=self._stop.flush())


class _Stripped:
    """Text without the blanks around it."""

    def __init__(self) -> None:
        self._begun = False
        self._blanks = ""

    def feed(self, text: str) -> str:
        text = self._blanks + text if self._begun else text.lstrip()
        stripped = text.rstrip()
        self._begun = self._begun or bool(stripped)
        self._blanks = text[len(stripped) :] if self._begun else ""
        return stripped


def _cut(text: str, num_chars: int) -> str:
    return text[: len(text) - num_chars] if num_chars else text
