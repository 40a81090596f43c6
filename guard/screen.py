"""The student's first stage: a recurrent net that reads every word as it comes.

Its state is one short vector. The last `NUM_CONTEXT` numbers are not the net's own: they carry
what is believed about the stream into the graph, which multiplies it into the probability.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

from .inference import new_session
from .student_folder import StudentFolder
from .word_units import plain_word

PIECES_PER_WORD = 6
"""Word pieces that one word is read as, at most; missing ones are id 0."""

NUM_CONTEXT = 2
"""Probability that the request is harmful; log-odds that the steps before went along."""

_MAX_KNOWN_WORDS = 1 << 15

Floats = npt.NDArray[np.float32]


class Screen:
    """Runs the recurrent net; words are looked up once and remembered, up to a bound."""

    def __init__(self, folder: StudentFolder, num_threads: int = 1) -> None:
        self._session = new_session(folder.screen, num_threads)
        self._tokenizer = Tokenizer.from_str(folder.tokenizer)
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        self._rows: dict[str, int] = {}
        self._pieces = np.zeros((_MAX_KNOWN_WORDS, PIECES_PER_WORD), dtype=np.int64)
        self._pieces[0, 0] = self._tokenizer.token_to_id("[SEP]")
        state = next(entry for entry in self._session.get_inputs() if entry.name == "state")
        self._blank = np.zeros(state.shape[1], dtype=np.float32)

    END_OF_STEP = 0
    """The row of the unit that ends a step."""

    def new_state(self, harm: float, going_along: float) -> Floats:
        """The vector of a fresh stream with this context."""
        return self.with_context(self._blank, harm, going_along)

    def with_context(self, state: Floats, harm: float, going_along: float) -> Floats:
        """A copy of `state` that carries this context."""
        state = state.copy()
        state[-NUM_CONTEXT:] = harm, going_along
        return state

    def row(self, unit: str) -> int:
        """The row of a unit, for `read`; valid until `make_room` is called."""
        row = self._rows.get(unit)
        return self._learn(unit) if row is None else row

    def make_room(self) -> None:
        """Forgets all words if too many are known; call it between batches only."""
        if len(self._rows) >= _MAX_KNOWN_WORDS:
            self._rows.clear()
            self._pieces = self._pieces[: _MAX_KNOWN_WORDS + 1].copy()

    def read(
        self, states: Sequence[Floats], rows: Sequence[int]
    ) -> tuple[Floats, Floats, Floats, Floats]:
        """Each stream reads one unit.

        Gives new states `[n, width]`, and `[n]` each: probability of a cue; log-odds that the step
        goes along; probability that it is a cue whatever was asked, which calls the verifier.
        """
        state = np.concatenate(states).reshape(len(states), -1)
        feed = {"words": self._pieces[np.array(rows)], "state": state}
        return self._session.run(["new_state", "probability", "cue", "alarm"], feed)

    def _learn(self, unit: str) -> int:
        ids = self._tokenizer.encode(plain_word(unit), add_special_tokens=False).ids
        row = len(self._rows) + 1
        if row >= len(self._pieces):  # one very long text; `make_room` shrinks it again
            self._pieces = np.concatenate([self._pieces, np.zeros_like(self._pieces)])
        self._pieces[row] = 0
        self._pieces[row, : len(ids[:PIECES_PER_WORD])] = ids[:PIECES_PER_WORD]
        self._rows[unit] = row
        return row
