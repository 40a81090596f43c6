"""Loads a model and its tokenizer from a folder or a hub name, and says plainly what is wrong."""

from pathlib import Path
from typing import Any

from transformers import AutoModelForCausalLM, AutoTokenizer

_MODEL_FILES = ("config.json", "adapter_config.json")


def located(name_or_path: str | Path) -> str:
    """The folder of a model if there is one, else the name as the hub knows it.

    Raises FileNotFoundError for a folder that is missing, and ValueError for one without a model.
    """
    folder = Path(name_or_path).expanduser()
    is_path = isinstance(name_or_path, Path) or str(name_or_path).startswith((".", "/", "~"))
    if folder.is_dir():
        if not any((folder / name).is_file() for name in _MODEL_FILES):
            raise ValueError(
                f"{folder} holds no Hugging Face model (there is no config.json in it): "
                "give the folder that save_pretrained wrote"
            )
        return str(folder)
    if folder.exists():
        raise ValueError(f"{folder} is a file: give the folder that save_pretrained wrote")
    if is_path:
        raise FileNotFoundError(f"there is no folder {folder}: give a model folder or a hub name")
    return str(name_or_path)


def load(name_or_path: str | Path, **options: Any) -> tuple[Any, Any]:
    """A causal language model in evaluation mode, and its tokenizer; `options` as transformers has
    them for models (`dtype`, `device_map`, ...).

    Raises FileNotFoundError for a folder that is missing, ValueError for one that holds no model or
    no tokenizer, and OSError where the hub has, or gives, no such model.
    """
    name = located(name_or_path)
    folder = Path(name)
    try:
        model = AutoModelForCausalLM.from_pretrained(name, **options)
    except OSError as error:
        raise OSError(_not_loaded(name, folder, "model", error)) from error
    try:
        shared = ("revision", "token", "trust_remote_code", "cache_dir", "local_files_only")
        tokenizer = AutoTokenizer.from_pretrained(
            name, **{option: options[option] for option in shared if option in options}
        )
    except (OSError, ValueError) as error:
        raise ValueError(_not_loaded(name, folder, "tokenizer", error)) from error
    # Where there are no files, transformers makes a tokenizer of special tokens only.
    if len(tokenizer.get_vocab()) <= len(tokenizer.added_tokens_decoder):
        raise ValueError(f"there is no tokenizer in {name}: save it beside the model")
    return model.eval(), tokenizer


def check(model: Any, tokenizer: Any) -> None:
    """Raises ValueError for a model that does not continue a text, or an unsuited tokenizer."""
    if getattr(model.config, "is_encoder_decoder", False):
        raise ValueError(
            f"{type(model).__name__} is an encoder-decoder model: the guard takes models that "
            "continue their prompt (AutoModelForCausalLM)"
        )
    if not getattr(model, "can_generate", lambda: False)():
        raise ValueError(f"{type(model).__name__} cannot generate: load AutoModelForCausalLM")
    if getattr(tokenizer, "backend_tokenizer", None) is None:
        raise ValueError(
            f"{type(tokenizer).__name__} is not of the tokenizers library: load the tokenizer with "
            "AutoTokenizer, or convert it to a tokenizer.json"
        )


def _not_loaded(name: str, folder: Path, what: str, error: Exception) -> str:
    reason = str(error).strip().split("\n", 1)[0]
    if folder.is_dir():
        return f"the {what} in {name} cannot be loaded: {reason}"
    return (
        f"there is no folder {name!r} here, and no {what} of this name could be loaded from the "
        f"Hugging Face hub: check the name and the network ({reason})"
    )
