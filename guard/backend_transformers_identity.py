"""Which model it was: a name, and a fingerprint of the weights, `name@hash`.

Stored with every trace: a model that has been trained on must not pass for the one before, under
whatever name or in whatever folder it lies.
"""

import hashlib
from typing import Any

import torch

_VALUES_PER_TENSOR = 32


def model_identity(model: Any) -> str:
    """`name@` and 12 hexadecimal digits over name, shape and 32 values of every weight tensor.

    Reading a sample keeps it at milliseconds where hashing whole weights takes minutes. The same
    weights in another precision count as another model.
    """
    name = getattr(model, "name_or_path", "") or type(model).__name__
    return f"{name}@{_fingerprint(model)}"


def _fingerprint(model: Any) -> str:
    digest = hashlib.sha256()
    with torch.no_grad():
        for key, tensor in sorted(model.state_dict().items()):
            flat = tensor.detach().reshape(-1)
            step = max(1, flat.numel() // _VALUES_PER_TENSOR)
            sample = flat[::step].to(device="cpu", dtype=torch.float32)
            digest.update(f"{key}{tuple(tensor.shape)}{tensor.dtype}".encode())
            digest.update(sample.contiguous().numpy().tobytes())
    return digest.hexdigest()[:12]
