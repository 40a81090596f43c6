"""Starts a vLLM engine for a model's folder or hub name, and says plainly what is wrong."""

# pyright: reportMissingImports=false

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from transformers import AutoTokenizer
from transformers.utils.hub import cached_file
from vllm.config import StructuredOutputsConfig
from vllm.engine.arg_utils import AsyncEngineArgs
from vllm.v1.engine.async_llm import AsyncLLM

from .backend_transformers_loading import located
from .orphan_watch import ending_with_this_program

_CHUNK_BYTES = 4096
_NUM_CHUNKS = 64
_WEIGHTS = frozenset({".safetensors", ".bin", ".pt", ".gguf"})


def start_engine(name_or_path: str | Path, **engine_args: Any) -> AsyncLLM:
    """`engine_args` as `AsyncEngineArgs` has them (`dtype`, `max_model_len`, `enforce_eager`,
    `speculative_config`, `enable_lora`, ...). Prefix caching is on: going on after an intervention
    is cheap by it. Takes half a minute and more. Its processes end with this program.

    Raises FileNotFoundError or ValueError with a sentence, and RuntimeError where the engine does
    not start; what its processes wrote to stderr says more then.
    """
    options = {"enable_prefix_caching": True, "disable_log_stats": True, **engine_args}
    form = options.get("structured_outputs_config")
    try:
        if isinstance(form, dict):  # as it comes out of JSON; vLLM's own command reads it so
            options["structured_outputs_config"] = StructuredOutputsConfig(**form)
        arguments = _arguments(located(name_or_path), options)
        with ending_with_this_program():
            return AsyncLLM.from_engine_args(arguments)
    except ValidationError as error:  # of many lines
        reason = error.errors()[0]["msg"].split("\n", 1)[0]
        raise ValueError(f"vLLM does not run {name_or_path} like this: {reason}") from error


def _arguments(model: str, options: Mapping[str, Any]) -> AsyncEngineArgs:
    try:
        return AsyncEngineArgs(model=model, **options)
    except TypeError as error:
        raise ValueError(f"{error}: give arguments of vLLM's AsyncEngineArgs") from error


def shut_down(engine: AsyncLLM) -> None:
    """Ends the engine and its processes, for good.

    vLLM does it again when the object goes, which may be at the program's end, when the modules
    that this takes are gone already: it would say so on stderr, as if something were wrong.
    """
    engine.shutdown()
    engine.shutdown = _is_over


def _is_over(timeout: float | None = None) -> None:
    """Nothing is left to shut down."""


def engine_tokenizer(engine: AsyncLLM) -> Any:
    """The engine's tokenizer, one of our own: the engine's belongs to its threads."""
    config = engine.model_config
    tokenizer = AutoTokenizer.from_pretrained(
        config.tokenizer,
        revision=config.tokenizer_revision,
        trust_remote_code=config.trust_remote_code,
    )
    if getattr(tokenizer, "backend_tokenizer", None) is None:
        raise ValueError(
            f"{type(tokenizer).__name__} is not of the tokenizers library: convert the tokenizer "
            "to a tokenizer.json"
        )
    return tokenizer


def engine_identity(engine: AsyncLLM, name: str | None = None) -> str:
    """`name@` and 12 hexadecimal digits: what traces call the model.

    They are made of the weight files' names and sizes and of 64 pieces of 4 KiB of each, since
    hashing whole weights takes minutes; the engine's weights are in another process.
    """
    config = engine.model_config
    served = config.served_model_name
    name = name or (served[0] if isinstance(served, list) else served) or config.model
    folder = Path(config.model)
    if not folder.is_dir():
        found = cached_file(
            config.model, "config.json", revision=config.revision, local_files_only=True
        )
        folder = Path(str(found)).parent
    digest = hashlib.sha256()
    for path in sorted(each for each in folder.iterdir() if each.suffix in _WEIGHTS):
        size = path.stat().st_size
        digest.update(f"{path.name}:{size}:{config.dtype}".encode())
        with path.open("rb") as file:
            for chunk in range(_NUM_CHUNKS):
                file.seek(size * chunk // _NUM_CHUNKS)
                digest.update(file.read(_CHUNK_BYTES))
    return f"{name}@{digest.hexdigest()[:12]}"
