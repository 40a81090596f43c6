"""Runs the benchmarks one after another, each in a process of its own: `make bench`.

Arguments are passed on: `make bench ARGS=--record` writes the figures into FIGURES.md, a word such
as `capacity` runs only the benchmarks whose name holds it.
"""

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent


def main() -> int:
    words = [word for word in sys.argv[1:] if not word.startswith("--")]
    flags = [word for word in sys.argv[1:] if word.startswith("--")]
    scripts = sorted(
        path
        for path in HERE.glob("bench_*.py")
        if not words or any(word in path.stem for word in words)
    )
    if not scripts:
        sys.stderr.write(f"no benchmark is named like {' or '.join(words)}\n")
        return 2
    failed = [
        script.name
        for script in scripts
        if subprocess.run([sys.executable, str(script), *flags], check=False).returncode
    ]
    if failed:
        sys.stderr.write(f"failed: {', '.join(failed)}\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
