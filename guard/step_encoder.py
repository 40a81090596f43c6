"""The student's second stage: a small sentence encoder that reads requests and whole steps.

One graph serves both: a request alone, or request, step before and step together. Its heads give
log-odds; `HEADS` names them in the graph's order.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from .inference import new_session, new_tokenizer, run, token_id
from .student_folder import StudentFolder
from .word_units import plain_text

HEADS = ("harm", "cue", "safety")
"""Is the request harmful; does the step go along; is the step a safety trigger."""

HARM, CUE, SAFETY = range(len(HEADS))

_MAX_CHARS_PER_TOKEN = 16
"""Texts are cut to this many characters a token before they are tokenised, so cost is bounded."""


class StepEncoder:
    """Runs the encoder on one core; remembers what it has read of requests."""

    def __init__(self, folder: StudentFolder, num_threads: int = 1) -> None:
        self._settings = folder.settings
        self._session = new_session(folder.encoder, num_threads)
        self._tokenizer = new_tokenizer(folder.tokenizer)
        self._cls = token_id(self._tokenizer, "[CLS]")
        self._sep = token_id(self._tokenizer, "[SEP]")
        self.max_readings = 1 << 12
        """Requests remembered, half a KiB at most each: a system prompt, the turns before, the
        choices of one request and the attempts at one prompt come again and again."""
        self._readings: dict[bytes, float] = {}
        """Log-odds by word pieces, the one used last at the end."""
        self._run([self._cls, self._sep], 0)  # a graph that cannot run is refused when loaded

    def pieces(self, text: str, limit: int) -> list[int]:
        """Word pieces of a text; of a text longer than `limit` pieces the first and last halves."""
        bound = limit * _MAX_CHARS_PER_TOKEN
        if len(text) > 2 * bound:
            text = f"{text[:bound]} {text[-bound:]}"
        return clip(self._tokenizer.encode(plain_text(text), add_special_tokens=False).ids, limit)

    def read_requests(self, passages: Sequence[str]) -> npt.NDArray[np.float32]:
        """Log-odds that each passage asks for harm, shape `[len(passages)]`."""
        limit = self._settings.reading_tokens
        rows = [[self._cls, *self.pieces(text, limit), self._sep] for text in passages]
        return np.array([self._read_request(row) for row in rows], dtype=np.float32)

    def _read_request(self, row: list[int]) -> float:
        key = np.array(row, dtype=np.int32).tobytes()
        log_odds = self._readings.pop(key, None)
        if log_odds is None:
            log_odds = float(self._run(row, 0)[HARM])
        self._readings[key] = log_odds
        if len(self._readings) > self.max_readings:
            del self._readings[next(iter(self._readings))]
        return log_odds

    def read_step(self, request: list[int], before: str, step: str) -> npt.NDArray[np.float32]:
        """Log-odds of every head for one step, shape `[len(HEADS)]`.

        `request` is word pieces, the others texts; `before` is empty for a first step. One step at
        a time: on one core a batch is no faster, and the int8 graph scales its activations over
        all that it is given, so the rows of a batch would change each other.
        """
        context = self.pieces(before, self._settings.context_tokens)
        row = [self._cls, *request, self._sep, *context, self._sep]
        read = self.pieces(step, self._settings.step_tokens)
        return self._run([*row, *read, self._sep], len(row))

    def _run(self, row: list[int], segment_start: int) -> npt.NDArray[np.float32]:
        """Log-odds of one row; its second segment starts there (0: there is none)."""
        ids = np.array([row], dtype=np.int64)
        segments = np.zeros_like(ids)
        if segment_start:
            segments[0, segment_start:] = 1
        feed = {
            "input_ids": ids,
            "attention_mask": np.ones_like(ids),
            "token_type_ids": segments,
        }
        return run(self._session, ["log_odds"], feed)[0][0]


def clip(ids: list[int], limit: int) -> list[int]:
    """At most `limit` ids: of a longer list the first and the last half."""
    if len(ids) <= limit:
        return ids
    head = limit // 2
    return ids[:head] + ids[len(ids) - (limit - head) :]
