"""Runs a training in two processes on this machine's processor.

`accelerate launch` starts several processes for several GPUs only: told `--cpu --num_processes=2`,
version 1.15 starts one. What it calls for GPUs, torch's own launcher, is used here.
"""

import sys

LAUNCH = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2")
"""The beginning of a command; a script or `-m module` and its arguments follow."""
