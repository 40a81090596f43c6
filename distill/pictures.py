"""Figures as PNG files, drawn without a screen. Needs matplotlib, from an extra."""

from io import BytesIO
from pathlib import Path
from typing import Any

from .run_folder import put_bytes


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
    """Puts the figure in place at once, and forgets it."""
    figure.tight_layout()
    drawn = BytesIO()
    figure.savefig(drawn, format="png", dpi=120)
    put_bytes(path, drawn.getvalue())
    pyplot.close(figure)
