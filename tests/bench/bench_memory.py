"""State of one stream beyond its text: what the session holds besides the record of the trace.

Everything reachable from a session is counted, except the token columns and the judged steps, which
are the record of the text, and what all streams share (detector, pool, settings).
"""

# pyright: reportPrivateUsage=false

import gc
import sys
from typing import Any

from corpus import TRACES, tokens_of
from figures import Figure, report

from rerail.guard import FORMATS, Guard, Prompt
from rerail.guard.detector_student import StudentDetector
from rerail.guard.judge import judge
from rerail.guard.session import Session

COMMAND = "python tests/bench/bench_memory.py"


def reachable(root: Any, shared: set[int]) -> int:
    """Bytes of all objects reachable from `root` that are not in `shared`, classes left out."""
    seen, stack, total = set(shared), [root], 0
    while stack:
        item = stack.pop()
        if id(item) in seen or isinstance(item, type) or hasattr(item, "__spec__"):
            continue
        if callable(item):
            continue
        seen.add(id(item))
        total += sys.getsizeof(item)
        stack.extend(gc.get_referents(item))
    return total


def state_bytes(guard: Guard, num_tokens: int) -> int:
    """Bytes of a session that has read `num_tokens` tokens, beyond the record of its text."""
    request, think = TRACES[0]
    tokens = tokens_of(think)
    message = {"role": "user", "content": request}
    prompt = Prompt(messages=(message,), text=request + "<think>")
    session = guard.open(prompt, FORMATS["r1"])
    for position in range(num_tokens):
        session.feed([tokens[position % len(tokens)]])
        judge(guard.detector, [session])
        session.take_events()
    branch = session._branch  # what is measured is private by nature
    record: list[Any] = [branch, session._ledger, session.prompt, session.config]
    shared: set[int] = set()
    stack: list[Any] = [*record, guard, FORMATS, Session.__dict__]
    while stack:
        item = stack.pop()
        if id(item) in shared:
            continue
        shared.add(id(item))
        if not isinstance(item, type) and not callable(item):
            stack.extend(gc.get_referents(item))
    return reachable(session, shared)


def main() -> None:
    guard = Guard(StudentDetector.from_folder())
    sizes = {num: state_bytes(guard, num) for num in (100, 1000, 10000)}
    measured = ", ".join(f"{size / 1024:.1f} KiB at {num} tokens" for num, size in sizes.items())
    report(
        [
            Figure(
                "state per stream beyond the text itself",
                "at most 16 KiB, constant in trace length",
                measured,
                COMMAND,
            )
        ]
    )


if __name__ == "__main__":
    main()
