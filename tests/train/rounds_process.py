"""A small run of rounds in a process of its own, to be killed."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from small_rounds import SMALL

from rerail.train.rounds import run_rounds

if __name__ == "__main__":
    run_rounds(SMALL, Path(sys.argv[1]))
