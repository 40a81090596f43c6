"""Addresses of servers that are asked over HTTP: upstreams, judges, vLLM servers.

They are shown in messages and kept in logs and run folders, so none may hold a secret.
"""

import re

_SCHEME = re.compile(r"[a-z]+://", re.IGNORECASE)
_HOST = re.compile(r"([^\s:@\[\]]+|\[[0-9A-Fa-f:.]+\])(:\d*)?\Z")


def is_address(model: str) -> bool:
    """Whether a model is named by a server's address."""
    return model.lower().startswith(("http://", "https://"))


def check_address(url: str, instead: str = "leave them out") -> None:
    """Raises `ValueError` for what is no server's address, or holds a user, password or query,
    which may be a key; none of these is quoted. `instead` says what to do with a key."""
    rest = _SCHEME.sub("", url)
    host = re.split(r"[/?#]", rest, maxsplit=1)[0]
    if "@" in (host if _HOST.match(host) else rest):
        raise ValueError(
            "the server's address has a user or password in it, which messages and logs would "
            f"show: {instead}"
        )
    shown = re.split(r"[?#]", url, maxsplit=1)[0]
    if shown != url:
        raise ValueError(f"the server's address has more than a path after {shown!r}: {instead}")
    if not is_address(url) or not rest.strip("/"):
        raise ValueError(f"{url!r} is no server's address: give one such as http://127.0.0.1:8000")


def root_of(
    url: str, instead: str = "leave them out, and put its API key in RERAIL_UPSTREAM_API_KEY"
) -> str:
    """The address below which the API lies: without `/v1`. Raises as `check_address`."""
    check_address(url, instead)
    return url.rstrip("/").removesuffix("/v1").rstrip("/")
