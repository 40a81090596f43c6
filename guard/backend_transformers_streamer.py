"""Feeds a transformers streamer with released tokens only.

A streamer takes tokens and cannot give them back, so a token goes to it when all of its text has
been released; a token without text of its own goes with the next one that has some.
"""

from typing import Any

import torch

from .backend_transformers_request import Request
from .backend_transformers_rows import OnEvents, Row
from .config import GuardConfig, Policy
from .events import Event, Finished, Released
from .traces import FinishReason


def streamer_feed(request: Request, config: GuardConfig) -> OnEvents | None:
    """What to call with a row's events; None without a streamer.

    The prompt is put at once, as `generate` does. Raises ValueError for several rows, and where
    released text might have to be taken back.
    """
    streamer = request.streamer
    if streamer is None:
        return None
    if request.num_rows > 1:
        raise ValueError("a streamer takes one sequence: generate one row, or leave it out")
    if config.hold != "step" and config.policy is not Policy.AUDIT:
        raise ValueError(
            f"hold={config.hold!r} may have to take text back, which a streamer cannot: "
            'use hold="step", or stream(), whose events say what to take back'
        )
    streamer.put(request.input_ids.cpu())
    return _Feed(streamer)


class _Feed:
    """Puts tokens one by one; the end of the trace brings what is left."""

    def __init__(self, streamer: Any) -> None:
        self._streamer = streamer
        self._num_put = 0
        self._num_passed = 0
        self._offset = 0  # of the text after the tokens passed

    def __call__(self, row: Row, events: list[Event]) -> None:
        tokens = row.session.tokens
        for event in events:
            if isinstance(event, Released):
                self._pass(tokens.texts, event.end)
                self._put(tokens.ids)
            elif isinstance(event, Finished):
                if event.trace.finish_reason not in (FinishReason.CANCELLED, FinishReason.ERROR):
                    self._num_passed = len(tokens)
                    self._put(tokens.ids)
                self._streamer.end()

    def _pass(self, texts: list[str], released: int) -> None:
        offset = self._offset
        for position in range(self._num_passed, len(texts)):
            offset += len(texts[position])
            if offset > released:
                return
            if texts[position]:
                self._num_passed, self._offset = position + 1, offset

    def _put(self, ids: list[int | None]) -> None:
        for token_id in ids[self._num_put : self._num_passed]:
            self._streamer.put(torch.tensor([token_id]))
        self._num_put = self._num_passed
