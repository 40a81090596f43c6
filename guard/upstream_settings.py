"""How an upstream server is used: one dataclass, from which the commands' flags are derived."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from .server_address import root_of


@dataclass(frozen=True, slots=True, kw_only=True)
class UpstreamSettings:
    """For a model behind another server's API; checked when made. Wrong values raise
    `ValueError`."""

    model_name: str | None = None
    """What the upstream calls the model; by default the only one that it serves."""

    tokenizer: Path | None = None
    """Folder of the model's tokenizer: prompts are then rendered here, and tokens read one by one;
    otherwise the upstream is asked to render and to tokenize."""

    upstream_mode: Literal["auto", "ids", "text", "chat"] = "auto"
    """How to speak with the upstream: token ids (vLLM), text (SGLang, llama.cpp and others), or
    chat completions only, which can be audited and blocked; auto finds the best that it offers."""

    upstream_replica: tuple[str, ...] = ()
    """A further server of the same model; may be given several times. Requests take turns."""

    upstream_field: tuple[str, ...] = ()
    """A request field to hand on to the upstream as it is; may be given several times."""

    upstream_retries: int = 2
    """Further attempts of a run of which nothing has come yet."""

    upstream_connect_s: float = 5.0
    """Seconds for a connection to come about."""

    upstream_first_s: float = 300.0
    """Seconds for the first token, which may wait in the upstream's queue."""

    upstream_stall_s: float = 60.0
    """Seconds of silence after it at most."""

    upstream_wait_s: float = 0.0
    """Seconds to wait at the start for an upstream that does not answer yet."""

    def __post_init__(self) -> None:
        if self.upstream_retries < 0:
            raise ValueError(f"--upstream-retries is {self.upstream_retries}: give 0 or more")
        if self.upstream_wait_s < 0:
            raise ValueError(f"--upstream-wait-s is {self.upstream_wait_s}: give 0 or more")
        for name in ("upstream_connect_s", "upstream_first_s", "upstream_stall_s"):
            if getattr(self, name) <= 0:
                flag = f"--{name.replace('_', '-')}"
                raise ValueError(f"{flag} is {getattr(self, name)}: give seconds above 0")
        for url in self.upstream_replica:
            root_of(url)
