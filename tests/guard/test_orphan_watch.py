"""A program that is killed outright leaves no children behind."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

pytestmark = pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="there are no pidfds here")

SCRIPT = """
import multiprocessing, signal, sys, time
from rerail.guard.orphan_watch import ending_with_this_program

def wait(stubborn):
    if stubborn:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    time.sleep(600)

if __name__ == "__main__":
    spawn = multiprocessing.get_context("spawn")
    before = spawn.Process(target=wait, args=(False,))
    before.start()
    children = [spawn.Process(target=wait, args=(stubborn,)) for stubborn in (False, True)]
    with ending_with_this_program():
        for child in children:
            child.start()
        if sys.argv[1] == "starting":
            time.sleep(1)
            print(before.pid, *(child.pid for child in children), flush=True)
            time.sleep(600)
    time.sleep(1)
    print(before.pid, *(child.pid for child in children), flush=True)
    if sys.argv[1] == "later":
        time.sleep(600)
    sys.stdin.read()
    for child in (before, *children):
        child.kill()
"""


@pytest.mark.parametrize("when", ["starting", "later"])
def test_children_go_with_a_program_that_is_killed(tmp_path: Path, when: str) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    with subprocess.Popen(
        [sys.executable, str(script), when], stdout=subprocess.PIPE, text=True
    ) as program:
        assert program.stdout is not None
        before, *children = [psutil.Process(int(pid)) for pid in program.stdout.readline().split()]
        os.kill(program.pid, signal.SIGKILL)
    _, alive = psutil.wait_procs(children, timeout=30)
    assert not alive, "ended, even the one that does not listen"
    assert before.is_running(), "those that it was not asked to watch are left alone"
    before.kill()


def test_the_watch_ends_with_a_program_that_ends_by_itself(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    with subprocess.Popen(
        [sys.executable, "-W", "error", str(script), "never"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as program:
        assert program.stdout is not None
        program.stdout.readline()
        family = psutil.Process(program.pid).children(recursive=True)
        assert any("orphan_watch" in " ".join(each.cmdline()) for each in family)
        _, complaints = program.communicate(timeout=30)
        assert program.returncode == 0 and not complaints
    _, alive = psutil.wait_procs(family, timeout=10)
    assert not alive
