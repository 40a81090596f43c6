"""Fills a small disk of its own (a mount in a private namespace) with traces; prints JSON.

Argument: an empty folder to mount the disk on.
"""

import json
import subprocess
import sys
from pathlib import Path

from conftest import sample_trace  # pyright: ignore[reportAttributeAccessIssue]

from rerail.guard.store import Store
from rerail.guard.store_errors import StoreError
from rerail.guard.store_recorder import Recorder

disk = Path(sys.argv[1])
subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", disk], check=True)
(disk / "ballast").write_bytes(bytes(1 << 20))
store = Store(disk / "rerail.db")
recorder = Recorder(store)
number = 0
while recorder.record(sample_trace(number)) and number < 10_000:
    number += 1
seen = {
    "stored_before": recorder.num_stored,
    "failed": recorder.failed,
    "lost": recorder.num_lost,
    "again": recorder.record(sample_trace(number)),
    "readable_while_full": [trace.seed for trace in store.traces()] == [*range(number)][::-1],
}
(disk / "ballast").unlink()
seen["after_freeing"] = recorder.record(sample_trace(20_000))
store.close()
subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
try:
    Store(disk / "rerail.db")
except StoreError as error:
    seen["read_only"] = str(error)
late = Recorder.open(disk / "rerail.db")
seen["late"] = [late.record(sample_trace(30_000)), late.failed]
with Store(disk / "rerail.db", read_only=True) as reader:
    seen["readable_when_read_only"] = reader.count()
    seen["whole"] = reader.get(sample_trace(20_000).id) == sample_trace(20_000)
sys.stdout.write(json.dumps(seen))
