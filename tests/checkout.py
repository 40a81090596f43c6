"""The checkout that the tests lie in, for those that read it; the wheel has none beside it."""

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

needs_checkout = pytest.mark.skipif(
    not (ROOT / "guard").is_dir(), reason="reads the checkout; here is only the wheel"
)


def tracked() -> set[str]:
    """What git would put in a commit: built and downloaded files do not count."""
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True
    )
    if listed.returncode:
        pytest.skip("no git here to list the files with")
    return {name for name in listed.stdout.splitlines() if (ROOT / name).is_file()}
