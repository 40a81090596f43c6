"""What has changed in a running generation since an onlooker last looked.

The generation itself does nothing for its onlookers: a probe reads the session from another thread,
as often as it likes. So a slow onlooker gets fewer and larger frames, and costs the model nothing.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..guard import Author, Channel, Intervention, Session, TokenTable
from ..guard.decision import Verdict
from ..guard.events import StepJudged
from ..guard.json_text import json_of
from ..guard.traces import Action, FinishReason

_LATE = 4
"""Tokens before the unsettled ones that may still get a higher score, when their step ends."""


@dataclass(frozen=True, slots=True)
class Begin:
    """What is known when a generation begins."""

    created_at: str
    """UTC, ISO 8601."""

    model: str
    detector: str
    request: str
    policy: str
    hold: str
    thresholds: Mapping[str, tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Frame:
    """One look at a generation. Applying all frames in order gives its state."""

    stream: str
    """The id that its trace will have."""

    keep: int
    """Tokens known so far that stay as they are; `tokens` follow them."""

    tokens: TokenTable
    released: int
    """Offset in the kept text up to which it has left."""

    first_step: int
    """Number of judged steps before `steps`; likewise below."""

    steps: tuple[StepJudged, ...]
    first_intervention: int
    interventions: tuple[Intervention, ...]
    begin: Begin | None = None
    """In the first frame."""

    finished: tuple[Action, FinishReason] | None = None
    """In the last frame."""


class Probe:
    """Reads one session, from any thread; every look gives what has changed since the last."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self.restart()

    def restart(self) -> None:
        """The next frame begins at the beginning: for an onlooker that has missed some."""
        self._began = False
        self._settled = 0
        self._num_tokens = -1
        self._num_steps = 0
        self._num_interventions = 0
        self._last_injected = -1
        self._finished = False

    @property
    def finished(self) -> bool:
        """Whether the last frame has been given."""
        return self._finished

    def frame(self) -> Frame | None:
        """What has changed; `None` if nothing has."""
        session, ledger = self._session, self._session.ledger
        trace = session.trace
        # Interventions before tokens: a rollback between the two is then seen next time as a new
        # intervention, which sends everything from its cut on once more.
        interventions = list(ledger.interventions)
        steps = list(ledger.steps[self._num_steps :])
        first = self._num_interventions
        if first and self._last_injected == 0 and interventions[first - 1].num_injected:
            first -= 1
        fresh = interventions[first:]
        keep = min(
            [self._settled, *(each.keep for each in interventions[self._num_interventions :])]
        )
        tokens, size = _tail(session.tokens, keep)
        keep = size - len(tokens)
        changed = size != self._num_tokens or steps or fresh or keep < size or trace is not None
        if self._finished or not (changed or not self._began):
            return None
        frame = Frame(
            stream=ledger.id,
            keep=keep,
            tokens=tokens,
            released=session.released,
            first_step=self._num_steps,
            steps=tuple(steps),
            first_intervention=first,
            interventions=tuple(fresh),
            begin=None if self._began else _begin(session),
            finished=None if trace is None else (trace.action, trace.finish_reason),
        )
        self._began = True
        self._settled = keep + _num_settled(tokens)
        self._num_tokens = size
        self._num_steps += len(steps)
        self._num_interventions = len(interventions)
        self._last_injected = interventions[-1].num_injected if interventions else -1
        self._finished = trace is not None
        return frame


def _begin(session: Session) -> Begin:
    ledger, prompt = session.ledger, session.prompt
    return Begin(
        created_at=ledger.created_at.isoformat(),
        model=prompt.model,
        detector=ledger.detector,
        request=prompt.request,
        policy=session.config.policy.value,
        hold=str(session.config.hold),
        thresholds={
            channel.value: (each.inside, each.end)
            for channel, each in ledger.thresholds.by_channel.items()
        },
    )


def _tail(table: TokenTable, keep: int) -> tuple[TokenTable, int]:
    """The tokens from `keep` on, and how many there are in all. The table may grow or be cut
    meanwhile, column by column: what is not there in every column comes with the next frame."""
    columns = [
        table.texts[keep:], table.authors[keep:], table.channels[keep:], table.scores[keep:],
    ]  # fmt: skip
    size = min(map(len, columns))
    texts, authors, channels, scores = (column[:size] for column in columns)
    keep = min(keep, len(table.texts))
    return TokenTable([None] * size, texts, authors, channels, scores), keep + size  # type: ignore[arg-type]


def _num_settled(tokens: TokenTable) -> int:
    """How many tokens at the front will not change any more, unless they are taken out."""
    size = len(tokens)
    while size and tokens.channels[size - 1] is None and tokens.scores[size - 1] is None:
        size -= 1
    return max(0, size - _LATE)


def frame_text(frame: Frame) -> str:
    """The frame as JSON."""
    record: dict[str, Any] = {
        "stream": frame.stream,
        "keep": frame.keep,
        "tokens": _columns(frame.tokens),
        "released": frame.released,
        "first_step": frame.first_step,
        "steps": [
            [s.index, s.channel, s.text, s.start, s.end, s.probability, s.verdict, s.complete]
            for s in frame.steps
        ],
        "first_intervention": frame.first_intervention,
        "interventions": [
            [
                each.keep, each.channel, each.step_index, each.cue, each.probability,
                each.trigger_id, each.trigger_kind, each.injected, each.num_injected,
                _columns(each.rolled_back),
            ]
            for each in frame.interventions
        ],
    }  # fmt: skip
    if frame.begin is not None:
        begin = frame.begin
        record["begin"] = [
            begin.created_at, begin.model, begin.detector, begin.request, begin.policy, begin.hold,
            {name: list(pair) for name, pair in begin.thresholds.items()},
        ]  # fmt: skip
    if frame.finished is not None:
        record["finished"] = list(frame.finished)
    return json.dumps(record)


def frame_of(text: str) -> Frame:
    """The frame that `frame_text` wrote. Raises `ValueError`, `KeyError` or `TypeError`."""
    record = json_of(text)
    if not isinstance(record, dict):
        raise ValueError("a frame is an object")
    begin = record.get("begin")
    finished = record.get("finished")
    if begin is not None:
        *words, thresholds = begin
        begin = Begin(
            *words, thresholds={name: (low, high) for name, (low, high) in thresholds.items()}
        )
    return Frame(
        stream=record["stream"],
        keep=record["keep"],
        tokens=_table(record["tokens"]),
        released=record["released"],
        first_step=record["first_step"],
        steps=tuple(
            StepJudged(index, Channel(channel), text, start, end, score, Verdict(verdict), whole)
            for index, channel, text, start, end, score, verdict, whole in record["steps"]
        ),
        first_intervention=record["first_intervention"],
        interventions=tuple(
            Intervention(keep, Channel(channel), *rest, rolled_back=_table(columns))
            for keep, channel, *rest, columns in record["interventions"]
        ),
        begin=begin,
        finished=None if finished is None else (Action(finished[0]), FinishReason(finished[1])),
    )


def _columns(table: TokenTable) -> list[list[Any]]:
    scores = [None if score is None else round(score, 4) for score in table.scores]
    return [table.texts, table.authors, table.channels, scores]


def _table(columns: list[list[Any]]) -> TokenTable:
    texts, authors, channels, scores = columns
    return TokenTable(
        [None] * len(texts),
        texts,
        [Author(each) for each in authors],
        [None if each is None else Channel(each) for each in channels],
        scores,
    )
