"""Says after a long run how many examples each target has had."""

from typing import Any

from fuzzing import EXAMPLES, SECONDS


def pytest_terminal_summary(terminalreporter: Any) -> None:
    if SECONDS and EXAMPLES:
        terminalreporter.section(f"examples in {SECONDS:g} s each")
        for name, number in sorted(EXAMPLES.items()):
            terminalreporter.write_line(f"{number:>9,}  {name}")
