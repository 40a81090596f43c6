"""LoRA adapters for vLLM: those that an engine here serves beside its model, and one handed to a
running vLLM server, through its runtime LoRA loading.

Requests that run keep the adapter that they began with; what comes after the call gets the new one.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..guard.json_text import json_of
from ..guard.server_address import root_of

_RANKS = (8, 16, 32, 64, 128, 256, 320, 512)
"""Those that vLLM has room for; an adapter may have a lower one."""


def named_adapters(given: Sequence[str]) -> dict[str, Path]:
    """Adapters of a command line, `NAME=FOLDER` each. Raises ValueError for what is none."""
    found: dict[str, Path] = {}
    for each in given:
        name, _, folder = each.partition("=")
        if not name or not folder or name in found:
            raise ValueError(f"--lora-modules {each}: give NAME=FOLDER, each name once")
        found[name] = Path(folder)
    return found


def adapter_arguments(adapters: Mapping[str, Path]) -> dict[str, Any]:
    """What vLLM's engine has to be told to make room for them. Raises ValueError for a folder that
    holds no adapter."""
    if not adapters:
        return {}
    rank = max(adapter_rank(folder) for folder in adapters.values())
    room = next((each for each in _RANKS if each >= rank), None)
    if room is None:
        raise ValueError(f"an adapter of rank {rank} is beyond what vLLM takes, {_RANKS[-1]}")
    return {"enable_lora": True, "max_lora_rank": room, "max_loras": len(adapters)}


def lora_requests(adapters: Mapping[str, Path]) -> dict[str, Any]:
    """vLLM's own name for them, by name."""
    return {
        name: lora_request(name, number, folder)
        for number, (name, folder) in enumerate(adapters.items(), 1)
    }


def lora_request(name: str, number: int, folder: Path) -> Any:
    """vLLM's own name for one; `number` is above 0 and no other's."""
    from vllm.lora.request import LoRARequest  # pyright: ignore[reportMissingImports]

    return LoRARequest(name, number, str(folder.resolve()))


def adapter_rank(folder: Path) -> int:
    """Raises ValueError for a folder that holds no adapter."""
    try:
        return int(json_of((folder / "adapter_config.json").read_text("utf-8"))["r"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{folder} holds no LoRA adapter: give a folder of peft's") from error


def load_adapter(url: str, name: str, adapter: Path, *, timeout_s: float = 120.0) -> None:
    """Has the server at `url` serve `adapter` under `name`, in place of one that had it.

    The folder has to be visible to the server under the same path. Raises ValueError with a
    sentence for an address that is none, and where the server is not reached or refuses.
    """
    try:
        import httpx
    except ImportError as error:
        raise ImportError("handing an adapter over needs httpx: pip install 'rerail[serve]'") from (
            error
        )
    root = root_of(url, "leave them out")
    body = {"lora_name": name, "lora_path": str(adapter.resolve()), "load_inplace": True}
    try:
        answer = httpx.post(f"{root}/v1/load_lora_adapter", json=body, timeout=timeout_s)
    except httpx.HTTPError as error:
        raise ValueError(f"{url} cannot be reached: {error}") from error
    if answer.status_code == 404:
        raise ValueError(
            f"{url} loads no adapters while it runs: start it with --enable-lora and "
            "VLLM_ALLOW_RUNTIME_LORA_UPDATING=True"
        )
    if answer.is_error:
        raise ValueError(f"{url} refused the adapter ({answer.status_code}): {answer.text[:300]}")
