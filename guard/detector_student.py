"""The shipped detector: a streaming screen on every token, an encoder on suspicious steps.

The screen's score inside a step is kept under a limit unless the screen is next to certain: a step
is held until its verdict anyway, and the verdict at its end is the encoder's.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np

from .belief import Belief, after_screened_step, after_step, inside_step, screen_context
from .channels import Channel
from .conversation import passages
from .detector import Message, Probabilities, Thresholds
from .screen import Floats, Screen
from .step_encoder import CUE, HARM, SAFETY, StepEncoder
from .student_folder import SHIPPED, StudentFolder
from .word_units import MAX_WORD_CHARS, split_units

_MAX_CONTEXT_CHARS = 400
"""Of the step before, this many last characters are kept in the state."""


class StepContext(NamedTuple):
    """What a stream knows at the start of a step; the same until its end."""

    request: list[int]
    """Word pieces of the request, shared by all states of the stream."""

    before: str
    """The step before, its last characters."""

    belief: Belief
    harm: float
    """Probability that the request is harmful."""

    history: float
    """Log-odds that the steps before lend to this one."""


class StudentState:
    """One stream's state. Never changed once made, so that a rollback can go back to it.

    A slotted class and no frozen dataclass, since one is made for every token.
    """

    __slots__ = ("context", "pending", "probability", "vector")

    def __init__(
        self, context: StepContext, vector: Floats, pending: str, probability: float
    ) -> None:
        self.context = context
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
        request = self._encoder.pieces(texts[0], self._settings.request_tokens) if texts else []
        belief = Belief(reading, evidence=0.0, going_along=0.0)
        return StudentState(self._context(request, "", belief), self._screen.blank, "", 0.0)

    def score(
        self,
        states: Sequence[StudentState],
        texts: Sequence[str],
        channels: Sequence[Channel],
    ) -> tuple[list[StudentState], Probabilities]:
        """Reads a bit of text in every stream; the score is that of the last complete word."""
        screen = self._screen
        screen.make_room()
        known_row = screen.row
        pendings: list[str] = []
        queues: list[list[int] | tuple[()]] = []
        for state, text in zip(states, texts, strict=True):
            pending = state.pending
            # What most tokens are, a blank and letters or only letters, without a regular
            # expression.
            if text.isascii() and len(pending) + len(text) < MAX_WORD_CHARS:
                if text.isalpha():
                    pendings.append(pending + text)
                    queues.append(())
                    continue
                if text[:1] == " " and text[1:].isalpha():
                    pendings.append(text[1:])
                    queues.append([known_row(pending)] if pending else ())
                    continue
            units, pending = split_units(pending + text)
            pendings.append(pending)
            queues.append([known_row(unit) for unit in units])
        vectors = [state.vector for state in states]
        probabilities = [state.probability for state in states]
        for index, (along, _) in self._drain(queues, vectors).items():
            context = states[index].context
            probabilities[index] = inside_step(self._weights, context.harm, context.history, along)
        after = [
            StudentState(state.context, vector, pending, probability)
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
        end = screen.END_OF_STEP
        queues = [[screen.row(state.pending), end] if state.pending else [end] for state in states]
        vectors = [state.vector for state in states]
        screened = self._drain(queues, vectors)
        settings = self._settings
        after: list[StudentState] = []
        probabilities: list[float] = []
        for index, (state, step) in enumerate(zip(states, steps, strict=True)):
            context = state.context
            along, alarm = screened[index]
            self.use.num_steps += 1
            if context.harm >= settings.verify_harm or alarm >= settings.verify_alarm:
                self.use.num_verified += 1
                row = self._encoder.read_step(context.request, context.before, step)
                belief, probability = after_step(
                    self._weights,
                    context.belief,
                    cue=float(row[CUE]),
                    safety=float(row[SAFETY]),
                    harm=float(row[HARM]),
                )
            else:
                belief, probability = after_screened_step(self._weights, context.belief, along)
            probabilities.append(probability)
            context = self._context(context.request, step[-_MAX_CONTEXT_CHARS:], belief)
            after.append(StudentState(context, vectors[index], "", 0.0))
        return after, np.array(probabilities, dtype=np.float32)

    def _context(self, request: list[int], before: str, belief: Belief) -> StepContext:
        return StepContext(request, before, belief, *screen_context(self._weights, belief))

    def _drain(
        self, queues: Sequence[Sequence[int]], vectors: list[Floats]
    ) -> dict[int, tuple[float, float]]:
        """Reads every stream's queue of units, one unit of each stream at a time, in place.

        Gives, for the streams that read anything, the log-odds after their last unit.
        """
        if len(queues) == 1:  # a stream by itself, the commonest case: no batch to take apart
            if not queues[0]:
                return {}
            for row in queues[0]:
                vectors[0] = self._screen.read_one(vectors[0], row)
            return {0: self._screen.log_odds(vectors[0])}
        found: dict[int, tuple[float, float]] = {}
        position = 0
        active = [index for index, queue in enumerate(queues) if queue]
        while active:
            new, log_odds = self._screen.read(
                [vectors[index] for index in active], [queues[index][position] for index in active]
            )
            for index, vector, both in zip(active, new, log_odds.tolist(), strict=True):
                vectors[index] = vector.copy()  # a view would keep the whole batch alive
                found[index] = both
            position += 1
            active = [index for index in active if len(queues[index]) > position]
        return found
