"""Runs a training in two processes on this machine, as `accelerate launch` does."""

import sys

LAUNCH = (
    *(sys.executable, "-m", "accelerate.commands.launch", "--cpu"),
    *("--num_processes=2", "--main_process_port=0"),
)
"""The beginning of a command; a script or `-m module` and its arguments follow."""
