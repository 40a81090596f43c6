"""Sessions of onnxruntime as the guard wants them: one thread, silent, nothing from outside."""

from typing import Any

import onnxruntime
from tokenizers import Tokenizer

from .student_folder import DetectorFileError


def new_session(model: bytes, num_threads: int = 1) -> onnxruntime.InferenceSession:
    """A CPU session of the graph in `model`.

    One thread by default: many streams share a machine, and a thread pool costs more than these
    small graphs gain from it. Raises `DetectorFileError` if onnxruntime cannot read the graph.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = num_threads
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.log_severity_level = 4  # what goes wrong is raised, and need not be on stderr as well
    try:
        return onnxruntime.InferenceSession(
            model,
            options,
            providers=["CPUExecutionProvider"],
            enable_fallback=0,  # to the same provider once more, with a notice on stdout
        )
    except Exception as error:  # onnxruntime's own exception types share no base class
        raise DetectorFileError(
            f"onnxruntime cannot load the graph ({error}): distil the student again"
        ) from error


def run(
    session: onnxruntime.InferenceSession,
    outputs: list[str],
    feed: dict[str, Any],
    options: Any = None,
) -> Any:
    """The arrays of these outputs. Typed loosely: onnxruntime's own type covers all it can give."""
    return session.run(outputs, feed, options)


def new_tokenizer(text: str) -> Tokenizer:
    """The tokenizer in `text` (a `tokenizer.json`), neither padding nor truncating."""
    try:
        tokenizer = Tokenizer.from_str(text)
    except Exception as error:  # the library raises bare exceptions
        raise DetectorFileError(
            f"the tokenizer cannot be read ({error}): distil the student again"
        ) from error
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


def token_id(tokenizer: Tokenizer, token: str) -> int:
    """The id of a token that a student's tokenizer must have."""
    found = tokenizer.token_to_id(token)
    if found is None:
        raise DetectorFileError(f"the tokenizer has no {token}: distil the student again")
    return found
