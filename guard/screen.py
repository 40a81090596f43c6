"""The student's first stage: a recurrent net that reads every word as it comes.

What a word adds to the gates is the mean of what its pieces add. The graph gives that for every
piece of the vocabulary when it is loaded, and it is remembered for every word met: what remains for
a word is one small matrix product. That runs in numpy on the graph's own weights, since calling
into onnxruntime costs more than the product itself; the graph's step is the reference for it.
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
_PIECES_AT_ONCE = 1 << 11

Floats = npt.NDArray[np.float32]
"""Single precision throughout, as the graph has it."""

_WEIGHTS = ["recurrent", "recurrent_bias", "heads", "heads_bias"]
"""Outputs of the graph that are its weights."""

_ONE_THREAD = 1 << 18
"""Multiplications of one product up to which OpenBLAS, which numpy's packages bring, stays on the
thread that asked. Beyond it others help, and wait for their part in busy loops, on processors that
the engine needs."""

_HALF = np.float32(0.5)
_ONE = np.float32(1.0)


class Screen:
    """Runs the recurrent net over any number of streams."""

    END_OF_STEP = 0
    """The row of the unit that ends a step."""

    def __init__(self, folder: StudentFolder, num_threads: int = 1) -> None:
        self._session = new_session(folder.screen, num_threads)
        # One graph holds look-up, recurrent step and weights; only what is asked for is run.
        self._options = onnxruntime.RunOptions()
        self._options.only_execute_path_to_fetches = True
        self._tokenizer = new_tokenizer(folder.tokenizer)
        shapes = {entry.name: entry.shape for entry in self._session.get_inputs()}
        self._width: int = shapes["state"][1]
        self.blank: Floats = np.zeros(self._width, dtype=np.float32)
        """The state of a fresh stream."""

        self._no_gates = np.zeros((1, 3 * self._width), dtype=np.float32)
        found = self._run(_WEIGHTS, np.zeros((1, PIECES_PER_WORD), dtype=np.int64))
        recurrent, self._recurrent_bias, self._heads, self._heads_bias = found
        split = 2 * self._width
        # Two products into two arrays without gaps: a quarter faster than one and its slices.
        self._recurrent_gates = np.ascontiguousarray(recurrent[:, :split]) * _HALF
        self._recurrent_new = np.ascontiguousarray(recurrent[:, split:]) * _HALF
        self._recurrent_bias = self._recurrent_bias * _HALF
        self._pieces = self._gates_of_pieces()
        self._vocabulary = self._tokenizer.get_vocab()
        self._rows: dict[str, int] = {}
        self._gates = np.zeros((_MAX_KNOWN_WORDS, split), dtype=np.float32)
        self._new = np.zeros((_MAX_KNOWN_WORDS, self._width), dtype=np.float32)
        self._keep(0, self._pieces[token_id(self._tokenizer, "[SEP]")])

    def row(self, unit: str) -> int:
        """The row of a unit, for `read`; valid until `make_room` is called."""
        row = self._rows.get(unit)
        return self._learn(unit) if row is None else row

    def make_room(self) -> None:
        """Forgets all words if too many are known; call it between batches only."""
        if len(self._rows) >= _MAX_KNOWN_WORDS - 1:
            self._rows.clear()
            self._gates = self._gates[:_MAX_KNOWN_WORDS].copy()
            self._new = self._new[:_MAX_KNOWN_WORDS].copy()

    def read(self, states: Sequence[Floats], rows: Sequence[int]) -> Floats:
        """Each stream reads one unit: new states `[n, width]`."""
        state = np.concatenate(states).reshape(len(rows), self._width)
        # Taking rows by an array's numbers is quicker than indexing with the list.
        numbers = np.array(rows)
        return self._step(state, self._gates.take(numbers, axis=0), self._new.take(numbers, axis=0))

    def read_one(self, state: Floats, row: int) -> Floats:
        """A lone stream reads one unit: its new state `[width]`."""
        return self._step(state, self._gates[row], self._new[row])

    def log_odds(self, states: Floats) -> Floats:
        """Log-odds `[..., 2]` of states `[..., width]`: that the step goes along with the request,
        and the alarm: that it is a cue whatever was asked."""
        return states @ self._heads + self._heads_bias

    def _step(self, state: Floats, word_gates: Floats, word_new: Floats) -> Floats:
        """One step of a gated recurrent unit, in as few and as small operations as can be.

        The logistic function is half a hyperbolic tangent of half its argument, plus a half. The
        halves of the arguments are in the weights and in what words add; those of the values are
        taken where the least has to be multiplied.
        """
        gate = _product(state, self._recurrent_gates)
        gate += word_gates
        np.tanh(gate, out=gate)
        gate += _ONE
        new = _product(state, self._recurrent_new)
        new += self._recurrent_bias
        new *= gate[..., : self._width]
        new += word_new
        np.tanh(new, out=new)
        after = state - new
        after *= _HALF
        after *= gate[..., self._width :]
        after += new
        return after  # pyright: ignore[reportReturnType]  (float32, as its parts are)

    def _learn(self, unit: str) -> int:
        word = plain_word(unit)
        whole = self._vocabulary.get(word) if word.isalpha() else None
        row = len(self._rows) + 1
        if row >= len(self._gates):  # one very long text; `make_room` shrinks it again
            self._gates = np.concatenate([self._gates, np.zeros_like(self._gates)])
            self._new = np.concatenate([self._new, np.zeros_like(self._new)])
        if whole is not None:  # most words are one piece: nothing to be cut up
            self._keep(row, self._pieces[whole])
        else:
            ids = self._tokenizer.encode(word, add_special_tokens=False).ids[:PIECES_PER_WORD]
            self._keep(row, self._pieces[ids].mean(0) if ids else self._pieces[0])
        self._rows[unit] = row
        return row

    def _keep(self, row: int, gates: Floats) -> None:
        split = 2 * self._width
        self._gates[row], self._new[row] = gates[:split] * _HALF, gates[split:]

    def _gates_of_pieces(self) -> Floats:
        """What every piece of the vocabulary adds to the gates, `[pieces, 3 * width]`.

        Row 0, padding, is what a word without pieces adds.
        """
        num = self._tokenizer.get_vocab_size()
        gates = np.zeros((num, 3 * self._width), dtype=np.float32)
        for start in range(0, num, _PIECES_AT_ONCE):
            ids = np.arange(start, min(start + _PIECES_AT_ONCE, num))
            words = np.zeros((len(ids), PIECES_PER_WORD), dtype=np.int64)
            words[:, 0] = ids
            gates[ids] = self._run(["word_gates"], words)[0]
        return gates

    def _run(self, outputs: list[str], words: npt.NDArray[np.int64]) -> list[Floats]:
        state = self.blank.reshape(1, -1)
        feed = {"words": words, "gates": self._no_gates, "state": state}
        return run(self._session, outputs, feed, self._options)


def _product(left: Floats, right: Floats) -> Floats:
    """`left @ right`, `[..., k]` by `[k, n]`, in parts that one thread computes."""
    if left.ndim == 1 or len(left) * right.size <= _ONE_THREAD:
        return left @ right
    rows = max(1, _ONE_THREAD // right.size)
    whole = len(left) - len(left) % rows
    out = np.empty((len(left), right.shape[1]), dtype=np.float32)
    parts = (len(left) // rows, rows)
    np.matmul(left[:whole].reshape(*parts, -1), right, out=out[:whole].reshape(*parts, -1))
    if whole < len(left):
        np.matmul(left[whole:], right, out=out[whole:])
    return out
