"""Has one detector read what any number of sessions are waiting to have read, in joint calls.

A call that fails is repeated stream by stream, so that one stream's text never costs another its
verdict.
"""

from collections.abc import Callable, Sequence
from typing import Any

from .detector import Detector, Probabilities, ReadsWordsAtOnce
from .session import Session

Answers = tuple[list[Any], Probabilities]
"""A state and a probability for each session asked about."""

Tell = Callable[[Session, Any, float], None]
"""`Session.scored` or `Session.judged`."""


def judge(detector: Detector | None, sessions: Sequence[Session]) -> None:
    """Reads on until every session is idle, has a directive or has finished.

    Sessions opened without a detector, or whose detector has failed, ask for nothing to be read.
    """
    waiting = judge_words(detector, sessions)  # up to where steps end, as all must be
    while waiting:
        assert detector is not None
        _ask(_end_step, detector, waiting, Session.judged)
        waiting = judge_words(detector, waiting)


def judge_words(detector: Detector | None, sessions: Sequence[Session]) -> list[Session]:
    """The same, but no step is judged; gives the sessions that wait for that. `judge` goes on."""
    ended: list[Session] = []
    waiting = _advanced(sessions, ended)
    while waiting:
        assert detector is not None
        readable = [session for session in waiting if session.reading.text]  # type: ignore[union-attr]
        if readable:
            _ask(_score, detector, readable, Session.scored)
        waiting = _advanced(waiting, ended)
    return ended


def _advanced(sessions: Sequence[Session], ended: list[Session]) -> list[Session]:
    """Those that have more to be read; those whose step is to be judged are added to `ended`."""
    waiting: list[Session] = []
    for session in sessions:
        if session.step_ended is not None:
            ended.append(session)
        elif session.advance():
            waiting.append(session)
    return waiting


def judge_at_once(detector: ReadsWordsAtOnce, sessions: Sequence[Session]) -> bool:
    """The same as far as it takes no time; whether all is done. `judge` goes on where it is not."""
    waiting = judge_words(detector, sessions)
    while waiting:
        steps = [session.step_ended for session in waiting]
        found = detector.end_step_at_once(
            [session.state for session in waiting],
            [step.text for step in steps if step is not None],
        )
        if found is None:
            return False
        _tell(waiting, found, Session.judged)
        waiting = judge_words(detector, waiting)
    return True


def _score(detector: Detector, sessions: Sequence[Session]) -> Answers:
    pieces = [session.reading for session in sessions]
    return detector.score(
        [session.state for session in sessions],
        [piece.text for piece in pieces if piece is not None],
        [piece.channel for piece in pieces if piece is not None and piece.channel is not None],
    )


def _end_step(detector: Detector, sessions: Sequence[Session]) -> Answers:
    steps = [session.step_ended for session in sessions]
    return detector.end_step(
        [session.state for session in sessions],
        [step.text for step in steps if step is not None],
    )


def _ask(
    question: Callable[[Detector, Sequence[Session]], Answers],
    detector: Detector,
    sessions: Sequence[Session],
    tell: Tell,
) -> None:
    """Tells every session its answer; what fails for several is asked for each alone."""
    try:
        answers = question(detector, sessions)
    except Exception as error:
        if len(sessions) == 1:
            sessions[0].detector_failed(error)
        else:
            for session in sessions:
                _ask(question, detector, [session], tell)
        return
    _tell(sessions, answers, tell)


def _tell(sessions: Sequence[Session], answers: Answers, tell: Tell) -> None:
    states, probabilities = answers
    for session, state, probability in zip(sessions, states, probabilities.tolist(), strict=True):
        tell(session, state, probability)
