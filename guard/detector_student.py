"""The shipped detector: a streaming screen on every token, an encoder on suspicious steps.

The screen's score inside a step is kept under a limit unless the screen is next to certain: a step
is held until its verdict anyway, and the verdict at its end is the encoder's.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt

from .belief import (
    Belief,
    after_screened_step,
    after_step,
    harm_probability,
)
from .channels import Channel
from .conversation import passages
from .detector import Message, Probabilities, Thresholds
from .screen import Screen
from .step_encoder import CUE, HARM, SAFETY, StepEncoder
from .student_folder import SHIPPED, StudentFolder
from .word_units import MAX_WORD_CHARS, split_units

_MAX_CONTEXT_CHARS = 400
"""Of the step before, this many last characters are kept in the state."""


class StudentState:
    """One stream's state. Never changed once made, so that a rollback can go back to it.

    A slotted class and no frozen dataclass, since one is made for every token.
    """

    __slots__ = ("before", "belief", "pending", "probability", "request", "vector")

    def __init__(
        self,
        request: list[int],
        belief: Belief,
        before: str,
        vector: npt.NDArray[np.float32],
        pending: str,
        probability: float,
    ) -> None:
        self.request = request
        self.belief = belief
        self.before = before
        self.vector = vector
        self.pending = pending
        self.probability = probability


@dataclass(slots=True)
class VerifierUse:
    """How often the second stage ran; for benchmarks and the report."""

    num_steps: int = 0
    num_verified: int = 0


class StudentDetector:
    """The ONNX student. Safe to share between streams; not between threads."""

    def __init__(self, folder: StudentFolder, *, num_threads: int = 1) -> None:
        self.identity = folder.identity
        self.thresholds: Thresholds = folder.settings.thresholds
        self.use = VerifierUse()
        self._settings = folder.settings
        self._weights = folder.settings.belief
        self._screen = Screen(folder, num_threads)
        self._encoder = StepEncoder(folder, num_threads)

    @classmethod
    def from_folder(cls, folder: Path | str = SHIPPED, *, num_threads: int = 1) -> Self:
        """Loads a student made by `rerail distill`, by default the shipped one.

        Raises `DetectorFileError` for a folder that is missing, damaged or of another format.
        """
        return cls(StudentFolder.read(Path(folder)), num_threads=num_threads)

    def start(self, messages: Sequence[Message]) -> StudentState:
        """Reads the conversation; a few milliseconds, once a generation."""
        texts = passages(messages)
        reading = float(self._encoder.read_requests(texts).max()) if texts else 0.0
        belief = Belief(reading, evidence=0.0, going_along=0.0)
        request = self._encoder.pieces(texts[0], self._settings.request_tokens) if texts else []
        vector = self._screen.new_state(*self._context(belief))
        return StudentState(request, belief, "", vector, "", 0.0)

    def score(
        self,
        states: Sequence[StudentState],
        texts: Sequence[str],
        channels: Sequence[Channel],
    ) -> tuple[list[StudentState], Probabilities]:
        """Reads a bit of text in every stream; the score is that of the last complete word."""
        screen = self._screen
        screen.make_room()
        pendings: list[str] = []
        queues: list[list[int]] = []
        for state, text in zip(states, texts, strict=True):
            pending = state.pending
            # What most tokens are, a blank and letters or only letters, without a regular
            # expression.
            if text.isascii() and len(pending) + len(text) < MAX_WORD_CHARS:
                if text.isalpha():
                    pendings.append(pending + text)
                    queues.append([])
                    continue
                if text[:1] == " " and text[1:].isalpha():
                    pendings.append(text[1:])
                    queues.append([screen.row(pending)] if pending else [])
                    continue
            units, pending = split_units(pending + text)
            pendings.append(pending)
            queues.append([screen.row(unit) for unit in units])
        vectors = [state.vector for state in states]
        probabilities = [state.probability for state in states]
        self._drain(queues, vectors, probabilities)
        after = [
            StudentState(state.request, state.belief, state.before, vector, pending, probability)
            for state, vector, pending, probability in zip(
                states, vectors, pendings, probabilities, strict=True
            )
        ]
        return after, np.array(probabilities, dtype=np.float32)

    def end_step(
        self, states: Sequence[StudentState], steps: Sequence[str]
    ) -> tuple[list[StudentState], Probabilities]:
        """The steps are complete; verifies the suspicious ones with the encoder."""
        screen = self._screen
        screen.make_room()
        end = [screen.END_OF_STEP]
        queues = [[screen.row(state.pending), *end] if state.pending else end for state in states]
        vectors = [state.vector for state in states]
        probabilities = [state.probability for state in states]
        cues, alarms = self._drain(queues, vectors, probabilities)
        suspicious = [
            index
            for index, state in enumerate(states)
            if harm_probability(self._weights, state.belief) >= self._settings.verify_harm
            or alarms[index] >= self._settings.verify_screen
        ]
        self.use.num_steps += len(states)
        self.use.num_verified += len(suspicious)
        verified: dict[int, npt.NDArray[np.float32]] = {}
        if suspicious:
            rows = self._encoder.read_steps(
                [states[index].request for index in suspicious],
                [states[index].before for index in suspicious],
                [steps[index] for index in suspicious],
            )
            verified = dict(zip(suspicious, rows, strict=True))
        after: list[StudentState] = []
        for index, (state, step) in enumerate(zip(states, steps, strict=True)):
            row = verified.get(index)
            if row is None:
                belief, probability = after_screened_step(self._weights, state.belief, cues[index])
            else:
                cue, safety, harm = float(row[CUE]), float(row[SAFETY]), float(row[HARM])
                belief, probability = after_step(self._weights, state.belief, cue, safety, harm)
            probabilities[index] = probability
            vector = screen.with_context(vectors[index], *self._context(belief))
            before = step[-_MAX_CONTEXT_CHARS:]
            after.append(StudentState(state.request, belief, before, vector, "", 0.0))
        return after, np.array(probabilities, dtype=np.float32)

    def _context(self, belief: Belief) -> tuple[float, float]:
        """What the screen is told: the probability of harm, and the weight of the history."""
        history = self._weights.cue_history * belief.going_along
        return harm_probability(self._weights, belief), history

    def _drain(
        self,
        queues: Sequence[list[int]],
        vectors: list[npt.NDArray[np.float32]],
        probabilities: list[float],
    ) -> tuple[list[float], list[float]]:
        """Reads every stream's queue of units, one unit of each stream at a time, in place.

        Gives the cue log-odds and the alarms after each stream's last unit.
        """
        cues = [0.0] * len(queues)
        alarms = [0.0] * len(queues)
        position = 0
        active = [index for index, queue in enumerate(queues) if queue]
        while active:
            rows = [queues[index][position] for index in active]
            new, *numbers = self._screen.read([vectors[index] for index in active], rows)
            listed = zip(active, new, *(array.tolist() for array in numbers), strict=True)
            for index, vector, probability, cue, alarm in listed:
                vectors[index] = vector.copy()  # a view would keep the whole batch alive
                probabilities[index] = probability
                cues[index] = cue
                alarms[index] = alarm
            position += 1
            active = [index for index in active if len(queues[index]) > position]
        return cues, alarms
