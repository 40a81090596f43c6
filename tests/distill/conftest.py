"""What the tests of distillation share."""

from pathlib import Path

import pytest
from command_line import CommandLine


@pytest.fixture
def rerail(tmp_path: Path) -> CommandLine:
    return CommandLine(tmp_path)
