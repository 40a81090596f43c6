"""What the command line says when something goes wrong, and the exit code that goes with it.

2: the command was used wrongly; 1: it failed; 130: interrupted. Always one sentence, no traceback;
`--debug` brings it back.
"""

import sys
from collections.abc import Generator
from contextlib import contextmanager

USAGE, FAILURE, INTERRUPTED, PIPE_CLOSED = 2, 1, 130, 141

_MAX_CHARS = 600


class UsageError(ValueError):
    """A mistake in the command itself: exit code 2."""


class CommandFailed(Exception):
    """The command could not do what it was asked; the message is one sentence for the user."""


@contextmanager
def options_checked() -> Generator[None]:
    """Settings that are refused in here were given wrongly on the command line."""
    try:
        yield
    except ValueError as error:
        raise UsageError(str(error)) from error


def say(sentence: str) -> None:
    """Puts a sentence on stderr, where it disturbs no output that is read by a program."""
    sys.stderr.write(f"rerail: {sentence}\n")
    sys.stderr.flush()


def counted(number: int, noun: str, plural: str | None = None) -> str:
    """Such as "1 pair", "2 pairs"."""
    return f"{number} {noun if number == 1 else plural or noun + 's'}"


def exit_code(error: BaseException) -> int:
    """The exit code for what a command raised."""
    if isinstance(error, UsageError):
        return USAGE
    if isinstance(error, KeyboardInterrupt):
        return INTERRUPTED
    return PIPE_CLOSED if isinstance(error, BrokenPipeError) else FAILURE


def sentence_of(error: BaseException) -> str:
    """What to tell the user; foreign libraries' messages are cut to their first line."""
    if isinstance(error, KeyboardInterrupt):
        return str(error) or "interrupted; what had been stored is kept"
    if isinstance(error, OSError) and error.strerror:
        name = f"{error.filename}: " if error.filename is not None else ""
        return f"{name}{error.strerror}"
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    line = lines[0] if lines else ""
    if len(line) > _MAX_CHARS:
        line = line[: _MAX_CHARS - 4] + " ..."
    if is_expected(error) and line:
        return line
    name = type(error).__name__
    return f"unexpected {name}{': ' if line else ''}{line} (run it with --debug for the traceback)"


def is_expected(error: BaseException) -> bool:
    """Whether the error was raised to be read by the user."""
    from ..guard.store_errors import StoreError

    return isinstance(error, (CommandFailed, StoreError, ValueError, ImportError, OSError))
