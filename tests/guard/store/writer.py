"""Processes that store traces until they have stored enough or are killed; they print what is
committed.

Arguments: the store, how many traces each, and the first number of each process.
"""

import os
import sys

from conftest import sample_trace  # pyright: ignore[reportAttributeAccessIssue]

from rerail.guard.store import Store


def write(store_name: str, count: int, first: int) -> None:
    with Store(store_name, timeout_s=60) as store:
        for number in range(first, first + count):
            trace = sample_trace(number)
            store.add(trace)
            # One system call a line, so that lines of several processes do not mix.
            os.write(1, f"{trace.id}\n".encode())


store_name, count, *firsts = sys.argv[1:]
if len(firsts) == 1:
    write(store_name, int(count), int(firsts[0]))
    sys.exit()
children: list[int] = []
for first in firsts:
    child = os.fork()
    if child == 0:
        write(store_name, int(count), int(first))
        os._exit(0)
    children.append(child)
sys.exit(any(os.waitpid(child, 0)[1] for child in children))
