"""Whether an extra is installed: asked before a command begins, not found out in its middle."""

from importlib.util import find_spec

MODULES = {
    "hf": ("torch", "transformers"),
    "serve": ("fastapi", "openai", "prometheus_client", "uvicorn"),
    "distill": (
        "torch",
        "transformers",
        "sentence_transformers",
        "sklearn",
        "onnx",
        "onnxscript",
        "matplotlib",
    ),
    "train": ("torch", "transformers", "accelerate", "datasets", "peft", "pyarrow", "trl"),
    "eval": ("torch", "transformers", "math_verify", "matplotlib"),
}
"""What the extras of pyproject.toml bring, by the names under which it is imported."""


def need(*extras: str) -> None:
    """Raises `ImportError`, naming what to install, unless everything of these extras is there."""
    missing = [each for extra in extras for each in MODULES[extra] if find_spec(each) is None]
    if missing:
        names = ", ".join(dict.fromkeys(missing))
        raise ImportError(f"this needs {names}: pip install 'rerail[{','.join(extras)}]'")
