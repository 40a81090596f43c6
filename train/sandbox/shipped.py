"""Where the sandbox model that ships with the package lies."""

from importlib.resources import files
from pathlib import Path


def resolved(name_or_path: str) -> str:
    """`sandbox` as the folder that it stands for; anything else as it is."""
    return str(model_folder()) if name_or_path == "sandbox" else name_or_path


def model_folder() -> Path:
    """The Hugging Face folder of the shipped model.

    Raises FileNotFoundError when the installation lacks it.
    """
    folder = Path(str(files("rerail.train.sandbox"))) / "model"
    if not (folder / "model.safetensors").exists():
        raise FileNotFoundError(
            f"{folder} holds no sandbox model: reinstall rerail, or rebuild it with "
            "`python -m rerail.train.sandbox.build --out DIR` and copy DIR/model there"
        )
    return folder
