"""Sessions of onnxruntime as the guard wants them: one thread, silent, nothing from outside, and no
more memory than a student can need.

A graph of a few bytes can ask for any amount: two vectors added crosswise do. All sessions made
here take their memory from one pool with a limit; beyond it the run fails, and the guard closes.
"""

from functools import cache
from typing import Any

import onnxruntime
from tokenizers import Tokenizer

from .graph_check import GraphRefused, check_graph
from .student_folder import DetectorFileError

MAX_POOL_BYTES = 1 << 30
"""For all students of a process together, weights included; the shipped one needs less than 48 MiB,
also for 256 streams at once and the longest texts."""


def new_session(model: bytes, num_threads: int = 1) -> onnxruntime.InferenceSession:
    """A CPU session of the graph in `model`.

    One thread by default: many streams share a machine, and a thread pool costs more than these
    small graphs gain from it. Raises `DetectorFileError` if the graph is nothing that a student
    needs, or onnxruntime cannot read it.
    """
    try:
        check_graph(model)
    except GraphRefused as error:
        raise DetectorFileError(
            f"the graph cannot be loaded ({error}): distil the student again"
        ) from error
    _bound_memory()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = num_threads
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.add_session_config_entry("session.use_env_allocators", "1")  # the pool with a limit
    options.log_severity_level = 4  # what goes wrong is raised, and need not be on stderr as well
    try:
        return onnxruntime.InferenceSession(
            model,
            options,
            providers=["CPUExecutionProvider"],
            disabled_optimizers=["ConstantFolding"],  # runs operators outside the pool
            enable_fallback=0,  # to the same provider once more, with a notice on stdout
        )
    except Exception as error:  # onnxruntime's own exception types share no base class
        raise DetectorFileError(
            f"the graph cannot be loaded ({error}): distil the student again"
        ) from error


@cache
def _bound_memory() -> None:
    """Sets up the pool: once a process, for those sessions only that ask for it."""
    info = onnxruntime.OrtMemoryInfo(
        "Cpu",
        onnxruntime.OrtAllocatorType.ORT_ARENA_ALLOCATOR,
        0,
        onnxruntime.OrtMemType.DEFAULT,
    )
    limits = onnxruntime.OrtArenaCfg({"max_mem": MAX_POOL_BYTES})
    onnxruntime.create_and_register_allocator(info, limits)


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
