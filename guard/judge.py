"""Has one detector read what any number of sessions are waiting to have read, in joint calls.

A call that fails is repeated stream by stream, so that one stream's text never costs another its
verdict.
"""

from collections.abc import Sequence

from .detector import Detector, ReadsWordsAtOnce
from .session import Session


def judge(detector: Detector | None, sessions: Sequence[Session]) -> None:
    """Reads on until every session is idle, has a directive or has finished.

    Sessions opened without a detector, or whose detector has failed, ask for nothing to be read.
    """
    waiting = judge_words(detector, sessions)  # up to where steps end, as all must be
    while waiting:
        assert detector is not None
        _end_step(detector, waiting)
        waiting = judge_words(detector, waiting)


def judge_words(detector: Detector | None, sessions: Sequence[Session]) -> list[Session]:
    """The same, but no step is judged; gives the sessions that wait for that. `judge` goes on."""
    ended = [session for session in sessions if session.step_ended is not None]
    waiting = [session for session in sessions if session.step_ended is None and session.advance()]
    while waiting:
        assert detector is not None
        readable = [session for session in waiting if session.reading.text]  # type: ignore[union-attr]
        if readable:
            _score(detector, readable)
        ended += [session for session in waiting if session.step_ended is not None]
        waiting = [
            session for session in waiting if session.step_ended is None and session.advance()
        ]
    return ended


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
        for session, state, probability in zip(waiting, found[0], found[1].tolist(), strict=True):
            session.judged(state, probability)
        waiting = judge_words(detector, waiting)
    return True


def _score(detector: Detector, sessions: list[Session]) -> None:
    pieces = [session.reading for session in sessions]
    try:
        states, probabilities = detector.score(
            [session.state for session in sessions],
            [piece.text for piece in pieces if piece is not None],
            [piece.channel for piece in pieces if piece is not None and piece.channel is not None],
        )
    except Exception as error:
        if len(sessions) == 1:
            sessions[0].detector_failed(error)
        else:
            for session in sessions:
                _score(detector, [session])
        return
    for session, state, probability in zip(sessions, states, probabilities.tolist(), strict=True):
        session.scored(state, probability)


def _end_step(detector: Detector, sessions: list[Session]) -> None:
    steps = [session.step_ended for session in sessions]
    try:
        states, probabilities = detector.end_step(
            [session.state for session in sessions],
            [step.text for step in steps if step is not None],
        )
    except Exception as error:
        if len(sessions) == 1:
            sessions[0].detector_failed(error)
        else:
            for session in sessions:
                _end_step(detector, [session])
        return
    for session, state, probability in zip(sessions, states, probabilities.tolist(), strict=True):
        session.judged(state, probability)
