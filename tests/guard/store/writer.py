"""A process that stores traces until it has stored enough or is killed; prints what is committed.

Arguments: the store, the first number, how many.
"""

import sys

from conftest import sample_trace

from rerail.guard.store import Store

store_name, first, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
with Store(store_name, timeout_s=60) as store:
    for number in range(first, first + count):
        trace = sample_trace(number)
        store.add(trace)
        sys.stdout.write(f"{trace.id}\n")
        sys.stdout.flush()
