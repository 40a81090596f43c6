"""The screen's products stay on the thread that asked for them, whatever numpy may use."""

import os
import subprocess
import sys

import pytest

_READS = """
import os
import numpy as np
from rerail.guard.screen import Screen
from rerail.guard.student_folder import SHIPPED, StudentFolder

def others_ns():
    tasks = [each for each in os.listdir("/proc/self/task") if int(each) != os.getpid()]
    return sum(int(open(f"/proc/self/task/{each}/schedstat").read().split()[0]) for each in tasks)

screen = Screen(StudentFolder.read(SHIPPED))
state = screen.blank + 0.1
before = others_ns()
for number in (33, 250, 256):
    for _ in range(20):
        screen.read([state] * number, [screen.row("hello")] * number)
during = others_ns()
square = np.ones((1000, 1000), dtype=np.float32)
for _ in range(20):
    square @ square
print(during - before, others_ns() - during)
"""


@pytest.mark.skipif(not os.path.exists("/proc/self/schedstat"), reason="needs Linux's /proc")
def test_many_streams_take_one_thread() -> None:
    """With numpy's default, half of the processor's time went into threads that wait in loops."""
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "2"}
    environment.pop("OMP_NUM_THREADS", None)
    ran = subprocess.run(
        [sys.executable, "-c", _READS], env=environment, capture_output=True, text=True, check=True
    )
    by_screen_ns, by_square_ns = map(int, ran.stdout.split())
    if not by_square_ns:
        pytest.skip("this numpy computes large products on one thread, too")
    assert by_screen_ns == 0


def test_parts_of_a_product_are_the_product() -> None:
    import numpy as np

    from rerail.guard.screen import Screen
    from rerail.guard.student_folder import SHIPPED, StudentFolder

    screen = Screen(StudentFolder.read(SHIPPED))
    rng = np.random.default_rng(1)
    for number in (1, 2, 31, 32, 33, 64, 100, 257):
        states = list(rng.standard_normal((number, len(screen.blank))).astype(np.float32))
        rows = [screen.row(f"word{each % 7}") for each in range(number)]
        alone = [screen.read_one(state, row) for state, row in zip(states, rows, strict=True)]
        np.testing.assert_allclose(screen.read(states, rows), np.stack(alone), atol=1e-5)
