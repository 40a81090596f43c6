"""A trace: one generation, with everything the guard saw and did. What the store keeps."""

import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from .channels import Channel
from .detector import Message
from .events import StepJudged
from .tokens import TokenTable


class Action(StrEnum):
    """The strongest thing that the guard did in a generation."""

    ALLOW = "allow"
    """Nothing."""

    AUDIT = "audit"
    """Recorded a cue and let it pass."""

    INTERVENE = "intervene"
    """Put a trigger in the place of a step."""

    BLOCK = "block"
    """Ended the generation."""


class FinishReason(StrEnum):
    """Why a generation ended; the first three are the OpenAI API's words."""

    STOP = "stop"
    """The model ended it, or a stop string did."""

    LENGTH = "length"
    """The limit on tokens did."""

    CONTENT_FILTER = "content_filter"
    """The guard did."""

    CANCELLED = "cancelled"
    """The caller did."""

    ERROR = "error"
    """The engine failed."""


class Scanned(StrEnum):
    """How much of the generated text a detector has read. Only `ALL` may be reported as passed."""

    ALL = "all"
    """Every step."""

    PART = "part"
    """Up to a failure of the detector, or to the end of a cancelled generation."""

    NONE = "none"
    """Nothing: there was no detector, or it failed at once."""


@dataclass(frozen=True, slots=True)
class Intervention:
    """One rollback and the trigger that took the cue's place."""

    keep: int
    """Generated tokens that stayed: the trigger begins at this index of the kept tokens."""

    channel: Channel
    """The channel of the step."""

    step_index: int
    """Position of the step on its branch, over all channels, from 0."""

    cue: str
    """Text of the step that was taken out."""

    probability: float | None
    """Of the cue, as the verdict was reached with; `None` where the detector failed."""

    trigger_id: str | None
    """`None` for a refusal."""

    trigger_kind: str | None
    """A `TriggerKind`; `None` for a refusal."""

    injected: str
    """Text put in: what had to be put back of a split token, then the trigger."""

    num_injected: int
    """How many tokens that were."""

    rolled_back: TokenTable
    """The tokens taken out, with the engine's run-ahead; the pair's rejected side begins so."""

    succeeded: bool | None = None
    """Whether no further cue followed; `None` where that cannot be told (cancelled, refusal)."""


@dataclass(frozen=True, slots=True)
class Trace:
    """One guarded generation."""

    id: str
    """Sorts by time."""

    created_at: datetime
    """UTC, when the generation began."""

    duration_s: float
    """From the beginning to the last event."""

    model: str
    """`name@hash`, as the prompt had it."""

    detector: str
    """Identity of what decided, `name@hash`; "none" without a guard."""

    messages: tuple[Message, ...]
    """The conversation, where it is known; else the prompt's text as one user turn."""

    prompt: str
    """The rendered prompt."""

    prompt_ids: tuple[int, ...]
    """Empty in text mode."""

    tokens: TokenTable
    """The kept tokens after the prompt: sampled and injected."""

    steps: tuple[StepJudged, ...]
    """Every judged step in order of judging, those taken out included."""

    interventions: tuple[Intervention, ...]
    """In order."""

    failures: tuple[str, ...]
    """What the detector raised, one sentence each."""

    action: Action
    """The strongest one."""

    finish_reason: FinishReason
    """Why it ended."""

    scanned: Scanned
    """How much of it was read."""

    leaked_tokens: int
    """Released tokens that were taken back."""

    wait_tokens: int
    """The longest run of generated tokens during which nothing could be released."""

    sampled_tokens: int
    """All tokens sampled from the model, rolled back ones included."""

    policy: str
    """As `GuardConfig.policy`."""

    hold: str
    """As `GuardConfig.hold`, as text."""

    thresholds: Mapping[str, tuple[float, float]]
    """By channel: inside a step, at its end."""

    sampling: Mapping[str, Any] = field(default_factory=dict)
    """Temperature and the like, as given to the backend."""

    seed: int | None = None
    """As the prompt had it."""

    topic: str | None = None
    """What the caller files the request under, if anything."""

    @property
    def text(self) -> str:
        """All kept text after the prompt, control markup included."""
        return self.tokens.text

    @property
    def ids(self) -> tuple[int, ...]:
        """Ids that the model saw: the prompt's and the kept ones; empty in text mode."""
        kept = self.tokens.known_ids()
        return self.prompt_ids + kept if kept or not len(self.tokens) else ()

    @property
    def num_rolled_back(self) -> int:
        """Tokens that interventions took out."""
        return sum(len(each.rolled_back) for each in self.interventions)

    def text_of(self, channel: Channel) -> str:
        """The kept text of one channel, without markup."""
        pairs = zip(self.tokens.texts, self.tokens.channels, strict=True)
        return "".join(text for text, each in pairs if each is channel)

    @property
    def reasoning(self) -> str:
        """The kept chain of thought, without markup."""
        return self.text_of(Channel.REASONING)

    @property
    def answer(self) -> str:
        """The kept answer, without markup and tool calls."""
        return self.text_of(Channel.ANSWER)

    @property
    def request(self) -> str:
        """The last user turn's text."""
        for message in reversed(self.messages):
            if message.get("role") == "user":
                return message_text(message)
        return ""


def message_text(message: Message) -> str:
    """The text of a turn, whatever shape its `content` has."""
    content = message.get("content")
    if isinstance(content, str):
        return content
    if isinstance(content, (list, tuple)):
        parts = (part.get("text", "") for part in content if isinstance(part, Mapping))
        return "\n".join(str(part) for part in parts if part)
    return ""


def new_trace_id() -> str:
    """A fresh id: 12 hexadecimal digits of milliseconds since 1970, then 8 random ones."""
    return f"{time.time_ns() // 1_000_000:012x}{secrets.token_hex(4)}"
