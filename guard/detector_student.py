"""The shipped detector: a streaming screen on every token, an encoder on suspicious steps.

The screen's score inside a step is kept under a limit unless the screen is next to certain: a step
is held until its verdict anyway, and the verdict at its end is the encoder's.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np

from .belief import (
    Belief,
    after_screened_step,
    after_step,
    harm_probability,
    inside_step,
    screen_context,
    with_request_level,
)
from .calibration import Calibration
from .channels import Channel
from .conversation import request_texts
from .detector import Message, Probabilities, Thresholds
from .screen import Floats, Screen
from .step_encoder import CUE, HARM, SAFETY, StepEncoder
from .student_folder import SHIPPED, DetectorFileError, StudentFolder
from .word_units import MARKS, MAX_WORD_CHARS, split_units

_MAX_CONTEXT_CHARS = 400
"""Of the step before, this many last characters are kept in the state."""


class StepContext(NamedTuple):
    """What a stream knows at the start of a step; the same until its end."""

    request: list[int]
    """Word pieces of the request, shared by all states of the stream."""

    before: str
    """The step before, its last characters."""

    belief: Belief
    """What the steps before have made of the request and of each other."""

    harm: float
    """Probability that the request is harmful."""

    history: float
    """Log-odds that the steps before lend to this one."""


StudentState = tuple[StepContext, Floats, str, float]
"""One stream's state: its step's context, the screen's vector, the word under way, the last score.

Never changed once made, so that a rollback can go back to it. A plain tuple, since one is made for
every token.
"""


@dataclass(slots=True)
class VerifierUse:
    """How often the second stage ran; for benchmarks and the report."""

    num_steps: int = 0
    """Steps that have ended."""

    num_verified: int = 0
    """Those among them that the encoder has read."""


class StudentDetector:
    """The ONNX student. Safe to share between streams; not between threads."""

    reads_words_at_once = True
    """The screen takes microseconds a word."""

    def __init__(self, folder: StudentFolder, *, num_threads: int = 1) -> None:
        if num_threads < 1:
            raise ValueError(f"num_threads is {num_threads}: give 1 or more")
        self.identity = folder.identity
        self.thresholds: Thresholds = folder.settings.thresholds
        self.use = VerifierUse()
        self._settings = folder.settings
        self._weights = folder.settings.belief
        self._verify_harm = folder.settings.verify_harm
        try:
            self._screen = Screen(folder, num_threads)
            self._encoder = StepEncoder(folder, num_threads)
        except DetectorFileError:
            raise
        except Exception as error:  # onnxruntime's own exception types share no base class
            raise DetectorFileError(
                f"{folder.identity} is no student that can be run ({error}): distil it again"
            ) from error

    @classmethod
    def from_folder(cls, folder: Path | str = SHIPPED, *, num_threads: int = 1) -> Self:
        """Loads a student made by `rerail distill`, by default the shipped one.

        Raises `DetectorFileError` for a folder that is missing, damaged or of another format.
        """
        return cls(StudentFolder.read(Path(folder)), num_threads=num_threads)

    @classmethod
    def for_model(cls, model: str | Path, folder: Path | str = SHIPPED) -> Self:
        """The same with the thresholds that the model in this folder brings for it, if any.

        Raises `CalibrationError` beside what `from_folder` raises.
        """
        detector = cls.from_folder(folder)
        calibration = Calibration.of_model(model)
        if calibration is not None:
            detector.thresholds = calibration.over(detector.identity, detector.thresholds)
            if calibration.detector == detector.identity:
                detector._take(calibration)
        return detector

    def _take(self, calibration: Calibration) -> None:
        """How sure of a request it must be, and which steps the encoder then has to read."""
        threshold = self.thresholds.reasoning.end
        if calibration.request is not None:
            self._weights = with_request_level(self._weights, calibration.request, threshold)
        # A low threshold needs doubtful requests' steps read as well: the screen alone is capped.
        self._verify_harm = min(self._verify_harm, threshold)

    def start(self, messages: Sequence[Message]) -> StudentState:
        """Reads the conversation; a few milliseconds, once a generation."""
        texts = request_texts(messages)
        request = self._encoder.pieces(texts[0], self._settings.request_tokens) if texts else []
        belief = self._before_steps(texts)
        return self._context(request, "", belief), self._screen.blank, "", 0.0

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
        after: list[StudentState] = []
        reading: list[int] = []
        vectors: list[Floats] = []
        queues: list[list[int]] = []
        for index, (state, text) in enumerate(zip(states, texts, strict=True)):
            context, vector, pending, probability = state
            # What most tokens are, a blank and letters, only letters or a mark, without a regular
            # expression.
            if text.isascii() and len(pending) + len(text) < MAX_WORD_CHARS:
                if text.isalpha():
                    after.append((context, vector, pending + text, probability))
                    continue
                if text[:1] == " " and (letters := text[1:]).isalpha():
                    after.append((context, vector, letters, probability))
                    if pending:
                        reading.append(index)
                        vectors.append(vector)
                        queues.append([known_row(pending)])
                    continue
                if text in MARKS:
                    after.append((context, vector, "", probability))
                    mark = known_row(text)
                    reading.append(index)
                    vectors.append(vector)
                    queues.append([known_row(pending), mark] if pending else [mark])
                    continue
            units, pending = split_units(pending + text)
            after.append((context, vector, pending, probability))
            if units:
                reading.append(index)
                vectors.append(vector)
                queues.append([known_row(unit) for unit in units])
        if reading:
            weights = self._weights
            vectors, log_odds = self._read(vectors, queues)
            for index, vector, along in zip(reading, vectors, log_odds[:, 0].tolist(), strict=True):
                context, _, pending, _ = after[index]
                probability = inside_step(weights, context.harm, context.history, along)
                after[index] = (context, vector, pending, probability)
        return after, np.array([state[3] for state in after], dtype=np.float32)

    def end_step(
        self, states: Sequence[StudentState], steps: Sequence[str]
    ) -> tuple[list[StudentState], Probabilities]:
        """The steps are complete; verifies the suspicious ones with the encoder."""
        return self._ended(states, steps, self._screened(states))

    def end_step_at_once(
        self, states: Sequence[StudentState], steps: Sequence[str]
    ) -> tuple[list[StudentState], Probabilities] | None:
        """The same where no step is suspicious, else `None`."""
        screened = self._screened(states)
        contexts = [state[0] for state in states]
        alarms = screened[1][:, 1].tolist()
        if any(self._is_suspicious(*pair) for pair in zip(contexts, alarms, strict=True)):
            return None
        return self._ended(states, steps, screened)

    def _is_suspicious(self, context: StepContext, alarm: float) -> bool:
        return context.harm >= self._verify_harm or alarm >= self._settings.verify_alarm

    def _screened(self, states: Sequence[StudentState]) -> tuple[list[Floats], Floats]:
        """Each stream's vector after its step's end, and the screen's log-odds `[n, 2]`."""
        screen = self._screen
        screen.make_room()
        end = screen.END_OF_STEP
        queues = [[screen.row(pending), end] if pending else [end] for _, _, pending, _ in states]
        return self._read([state[1] for state in states], queues)

    def _ended(
        self,
        states: Sequence[StudentState],
        steps: Sequence[str],
        screened: tuple[list[Floats], Floats],
    ) -> tuple[list[StudentState], Probabilities]:
        vectors, log_odds = screened
        after: list[StudentState] = []
        probabilities: list[float] = []
        for (context, *_), vector, (along, alarm), step in zip(
            states, vectors, log_odds.tolist(), steps, strict=True
        ):
            self.use.num_steps += 1
            if self._is_suspicious(context, alarm):
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
            after.append((context, vector, "", 0.0))
        return after, np.array(probabilities, dtype=np.float32)

    def request_harm(self, messages: Sequence[Message]) -> float:
        """Probability that the conversation asks for harm, 0..1, before any step."""
        return harm_probability(self._weights, self._before_steps(request_texts(messages)))

    def _before_steps(self, texts: Sequence[str]) -> Belief:
        """The reading is that of the worst passage, or part of one."""
        reading = float(self._encoder.read_requests(texts).max()) if texts else 0.0
        return Belief(reading, evidence=0.0, going_along=0.0)

    def _context(self, request: list[int], before: str, belief: Belief) -> StepContext:
        return StepContext(request, before, belief, *screen_context(self._weights, belief))

    def _read(
        self, vectors: list[Floats], queues: Sequence[Sequence[int]]
    ) -> tuple[list[Floats], Floats]:
        """Every stream reads its queue of rows, one row of each stream at a time.

        Gives each stream's vector and log-odds `[n, 2]` after its last row; no queue may be empty.
        """
        screen = self._screen
        if len(vectors) == 1:  # a stream by itself, the commonest case: no batch to take apart
            vector = vectors[0]
            for row in queues[0]:
                vector = screen.read_one(vector, row)
            return [vector], screen.log_odds(vector)[None]
        new = screen.read(vectors, [queue[0] for queue in queues])
        active = [index for index, queue in enumerate(queues) if len(queue) > 1]
        position = 1
        while active:
            new[active] = screen.read(
                [new[index] for index in active], [queues[index][position] for index in active]
            )
            position += 1
            active = [index for index in active if len(queues[index]) > position]
        # A view of one row would keep the whole batch alive.
        return [vector.copy() for vector in new], screen.log_odds(new)
