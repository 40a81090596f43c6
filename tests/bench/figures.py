"""The table of all figures asked and measured: printed, and kept in FIGURES.md beside this file."""

import sys
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

TABLE = Path(__file__).with_name("FIGURES.md")


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure; `what` is its key in the table."""

    what: str
    asked: str
    measured: str
    command: str


def report(figures: list[Figure]) -> None:
    """Prints the figures; with `--record` on the command line they go into the file too."""
    table = Table("figure", "asked", "measured")
    for figure in figures:
        table.add_row(figure.what, figure.asked, figure.measured)
    Console().print(table)
    if "--record" in sys.argv:
        record(figures)


def record(figures: list[Figure]) -> None:
    """Puts each figure in its row of FIGURES.md, or adds a row at the end of the table."""
    lines = TABLE.read_text(encoding="utf-8").splitlines()
    for figure in figures:
        row = f"| {figure.what} | {figure.asked} | {figure.measured} | `{figure.command}` |"
        found = [n for n, line in enumerate(lines) if line.startswith(f"| {figure.what} |")]
        if found:
            lines[found[0]] = row
        else:
            last = max(n for n, line in enumerate(lines) if line.startswith("|"))
            lines.insert(last + 1, row)
    TABLE.write_text("\n".join(lines) + "\n", encoding="utf-8")
