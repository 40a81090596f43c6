"""The guard inside `generate`: reads every new token of every row, and ends rows that have to be.

`generate` goes on for the other rows as if a row that was ended had met its end token, so they get
the tokens, and in sampling the random numbers, that they would have got without the guard.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from threading import Event as Flag
from typing import Any

import torch

from .backend_transformers_request import Request
from .detector import Detector
from .detokenizer import Detokenizer
from .events import Event
from .judge import judge
from .session import Session
from .traces import FinishReason


@dataclass(slots=True)
class Row:
    """One sequence of the call, from its prompt to its last token."""

    index: int
    """Its place among the sequences of the call."""

    session: Session
    """The guard's view of it."""

    detokenizer: Detokenizer
    """Makes text of its ids as they come."""

    position: int
    """Its place in the batch that is running."""

    kept: int = 0
    """Tokens after the prompt that the last intervention left, before the injected ones."""


OnEvents = Callable[[Row, list[Event]], None]
"""Takes a row's events as they come."""


class RowWatch:
    """One run's stopping criterion: feeds the sessions and has them judged, all rows at once."""

    eos_token_id: Any
    """Set only where one of the caller's criteria has it: `generate` then pads finished rows."""

    def __init__(
        self,
        rows: Sequence[Row],
        request: Request,
        detector: Detector | None,
        on_events: OnEvents | None,
        cancelled: Flag,
    ) -> None:
        self._live = list(rows)
        self._sessions = [row.session for row in rows]
        self._request = request
        self._eos_ids = request.eos_ids
        self._max_new_tokens = request.max_new_tokens
        self._detector = detector
        self._on_events = on_events
        self._cancelled = cancelled
        self._pads = request.pads_finished_rows
        self._stopped = torch.zeros(len(rows), dtype=torch.bool, device=request.input_ids.device)
        self._done: list[bool] | None = None
        for each in request.custom:
            if hasattr(each, "eos_token_id"):
                self.eos_token_id = each.eos_token_id

    def __call__(self, input_ids: torch.Tensor, scores: Any, **kwargs: Any) -> torch.Tensor:
        """Reads the last column of `input_ids` [rows, length]; True for rows that are over."""
        if self._cancelled.is_set():
            return torch.ones_like(self._stopped)
        last: list[int] = input_ids[:, -1].tolist()
        custom = self._ask(input_ids, scores, kwargs)
        done = self._done
        for row in self._live:
            token_id = last[row.position]
            session = row.session
            session.feed((row.detokenizer.token(token_id),))
            if token_id in self._eos_ids or (done is not None and done[row.position]):
                if self._pads or token_id in self._eos_ids:
                    session.end(FinishReason.STOP)
            elif session.num_tokens >= self._max_new_tokens:
                session.end(FinishReason.LENGTH)
        self._judge()
        return self._stopped if custom is None else self._stopped | custom

    def finish(self) -> None:
        """The run is over: so are all rows that nothing else has ended."""
        for row in self._live:
            stopped = self._done is not None and self._done[row.position]
            row.session.end(FinishReason.STOP if stopped else FinishReason.LENGTH)
        self._judge()

    def _judge(self) -> None:
        judge(self._detector, self._sessions)
        over = False
        for row in self._live:
            session = row.session
            if self._on_events is not None and (events := session.take_events()):
                self._on_events(row, events)
            if session.directive is not None or session.trace is not None:
                self._stopped[row.position] = over = True
        if over:
            self._live = [row for row in self._live if not self._stopped[row.position]]
            self._sessions = [row.session for row in self._live]

    def _ask(
        self, input_ids: torch.Tensor, scores: Any, kwargs: dict[str, Any]
    ) -> torch.Tensor | None:
        """Asks the criteria; `_done` gets all answers, the result holds the caller's own."""
        request = self._request
        if not request.custom and not request.watched:
            return None
        custom = torch.zeros_like(self._stopped)
        for each in request.custom:
            custom = custom | torch.as_tensor(each(input_ids, scores, **kwargs)).to(custom.device)
        every = custom
        for each in request.watched:
            every = every | torch.as_tensor(each(input_ids, scores, **kwargs)).to(custom.device)
        self._done = every.tolist()
        return custom if request.custom else None
