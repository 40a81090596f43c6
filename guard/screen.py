"""The student's first stage: a recurrent net that reads every word as it comes.

A word's vector is looked up once, by the graph itself, and remembered: what remains for every word
is one recurrent step.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import onnxruntime

from .inference import new_session, new_tokenizer, run, token_id
from .student_folder import StudentFolder
from .word_units import plain_word

PIECES_PER_WORD = 6
"""Word pieces that one word is read as, at most; missing ones are id 0."""

_MAX_KNOWN_WORDS = 1 << 14

Floats = npt.NDArray[np.float32]


class Screen:
    """Runs the recurrent net over any number of streams."""

    END_OF_STEP = 0
    """The row of the unit that ends a step."""

    def __init__(self, folder: StudentFolder, num_threads: int = 1) -> None:
        self._session = new_session(folder.screen, num_threads)
        # One graph holds both the look-up and the recurrent step; only what is asked for is run.
        self._options = onnxruntime.RunOptions()
        self._options.only_execute_path_to_fetches = True
        self._tokenizer = new_tokenizer(folder.tokenizer)
        shapes = {entry.name: entry.shape for entry in self._session.get_inputs()}
        self.blank: Floats = np.zeros(shapes["state"][1], dtype=np.float32)
        """The state of a fresh stream."""

        self._rows: dict[str, int] = {}
        self._no_words = np.zeros((1, PIECES_PER_WORD), dtype=np.int64)
        self._no_vector = np.zeros((1, shapes["vector"][1]), dtype=np.float32)
        self._vectors = np.zeros((_MAX_KNOWN_WORDS, shapes["vector"][1]), dtype=np.float32)
        self._vectors[0] = self._look_up([token_id(self._tokenizer, "[SEP]")])

    def row(self, unit: str) -> int:
        """The row of a unit, for `read`; valid until `make_room` is called."""
        row = self._rows.get(unit)
        return self._learn(unit) if row is None else row

    def make_room(self) -> None:
        """Forgets all words if too many are known; call it between batches only."""
        if len(self._rows) >= _MAX_KNOWN_WORDS - 1:
            self._rows.clear()
            self._vectors = self._vectors[:_MAX_KNOWN_WORDS].copy()

    def read(self, states: Sequence[Floats], rows: Sequence[int]) -> tuple[Floats, Floats]:
        """Each stream reads one unit: new states `[n, width]` and log-odds `[n, 2]`.

        The log-odds are that the step goes along with the request, and the alarm: that it is a cue
        whatever was asked.
        """
        if len(rows) == 1:
            state = states[0].reshape(1, -1)
            vector = self._vectors[rows[0]].reshape(1, -1)
        else:
            state = np.concatenate(states).reshape(len(rows), -1)
            vector = self._vectors[rows]
        feed = {"words": self._no_words, "vector": vector, "state": state}
        return run(self._session, ["new_state", "log_odds"], feed, self._options)

    def _learn(self, unit: str) -> int:
        ids = self._tokenizer.encode(plain_word(unit), add_special_tokens=False).ids
        row = len(self._rows) + 1
        if row >= len(self._vectors):  # one very long text; `make_room` shrinks it again
            self._vectors = np.concatenate([self._vectors, np.zeros_like(self._vectors)])
        self._vectors[row] = self._look_up(ids[:PIECES_PER_WORD])
        self._rows[unit] = row
        return row

    def _look_up(self, ids: list[int]) -> Floats:
        words = np.zeros((1, PIECES_PER_WORD), dtype=np.int64)
        words[0, : len(ids)] = ids
        state = self.blank.reshape(1, -1)
        feed = {"words": words, "vector": self._no_vector, "state": state}
        return run(self._session, ["word_vector"], feed, self._options)[0][0]
