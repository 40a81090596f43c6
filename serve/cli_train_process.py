"""One process of `rerail train preference` under `accelerate launch -m`; same flags."""

import sys

from .cli import main

if __name__ == "__main__":
    sys.exit(main(["train", "preference", *sys.argv[1:]]))
