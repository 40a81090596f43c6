"""Hands an adapter to a running vLLM server, through its runtime LoRA loading.

Requests that run keep the adapter that they began with; what comes after the call gets the new one.
"""

from pathlib import Path


def load_adapter(url: str, name: str, adapter: Path, *, timeout_s: float = 120.0) -> None:
    """Has the server at `url` serve `adapter` under `name`, in place of one that had it.

    The folder has to be visible to the server under the same path. Raises ValueError with a
    sentence where the server is not reached or refuses.
    """
    try:
        import httpx
    except ImportError as error:
        raise ImportError("handing an adapter over needs httpx: pip install 'rerail[serve]'") from (
            error
        )
    base = url.rstrip("/").removesuffix("/v1")
    body = {"lora_name": name, "lora_path": str(adapter.resolve()), "load_inplace": True}
    try:
        answer = httpx.post(f"{base}/v1/load_lora_adapter", json=body, timeout=timeout_s)
    except httpx.HTTPError as error:
        raise ValueError(f"{url} cannot be reached: {error}") from error
    if answer.status_code == 404:
        raise ValueError(
            f"{url} loads no adapters while it runs: start it with --enable-lora and "
            "VLLM_ALLOW_RUNTIME_LORA_UPDATING=True"
        )
    if answer.is_error:
        raise ValueError(f"{url} refused the adapter ({answer.status_code}): {answer.text[:300]}")
