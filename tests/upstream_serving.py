"""A server in front of a scripted upstream, and what is asked of it."""

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import httpx
from fake_upstream import FakeUpstream
from serving import Running, serving

from rerail.guard.upstream_settings import UpstreamSettings
from rerail.serve.engine_upstream import new_upstream_engine

CUE = "say Fine so far. A wicked thing. More.</think>\n\nDone."
IMPATIENT = UpstreamSettings(upstream_first_s=2.0, upstream_stall_s=2.0, upstream_retries=0)
"""Still enough for a healthy upstream on a machine that is busy."""


@contextmanager
def guarded(upstream: FakeUpstream, **options: Any) -> Generator[Running]:
    settings = options.pop("upstream_settings", UpstreamSettings())
    with serving(new_upstream_engine(upstream.url, settings), **options) as running:
        yield running


def post(running: Running, text: str = "hello", **fields: Any) -> httpx.Response:
    body = {"model": "up", "messages": [{"role": "user", "content": text}], **fields}
    return httpx.post(f"{running.url}/v1/chat/completions", json=body, timeout=30)
