"""Figures as PNG files, drawn without a screen. Needs matplotlib, from an extra."""

from pathlib import Path
from typing import Any


def load_pyplot(extra: str) -> Any:
    """matplotlib's pyplot. Raises ImportError, which names the extra, where it is missing."""
    try:
        import matplotlib
    except ImportError as error:
        raise ImportError(f"plots need matplotlib: pip install 'rerail[{extra}]'") from error
    matplotlib.use("Agg")
    from matplotlib import pyplot

    return pyplot


def save(pyplot: Any, figure: Any, path: Path) -> None:
    """Writes the figure, and forgets it."""
    figure.tight_layout()
    figure.savefig(path, dpi=120)
    pyplot.close(figure)
