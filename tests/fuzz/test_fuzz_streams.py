"""Streams: what a model says into the segmenter, and what an upstream sends as events.

tests/guard/test_segmenter_properties.py has the segmenter's laws one by one, with words in which
they are likely to break. Here any text at all, with the markup of every format in it and cut
anywhere, has to keep them together.
"""

import asyncio
import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest
from fuzzing import DEEP, HOSTILE, JSON, changed, damaged, fuzz, sentence
from hypothesis import strategies as st
from tiny_models import tiny_tokenizer

from rerail.guard.backend_upstream import AsyncUpstreamBackend
from rerail.guard.detokenizer import Vocabulary
from rerail.guard.prompt import Prompt
from rerail.guard.reasoning_format import FORMATS
from rerail.guard.segmenter import Segmenter
from rerail.guard.tokens import Token, TokenTable
from rerail.guard.upstream_client import UpstreamClient
from rerail.guard.upstream_codecs import ServerCodec, TextCodec, VocabularyCodec
from rerail.guard.upstream_errors import UpstreamError
from rerail.guard.upstream_settings import UpstreamSettings

TAGS = sorted({tag.text for each in FORMATS.values() for tag in each.tags})
HEADERS = ["<|start|>assistant", "<|channel|>analysis", "<|channel|>final", "<|constrain|>json"]
MARKS = [" to=f", "\n\n", ". ", "```", "1. ", "<", "|>", "</", "？", "。"]
MARKUP = st.sampled_from([*TAGS, *HEADERS, *MARKS])
SAID = st.lists(MARKUP | HOSTILE | st.text(st.characters(), max_size=20), max_size=30).map("".join)
EVENT = {
    "id": "1", "object": "text_completion", "model": "m",
    "choices": [{"index": 0, "text": "Hm.", "token_ids": [50, 51], "finish_reason": None,
                 "logprobs": {"tokens": ["a"], "token_logprobs": [-1.0],
                              "top_logprobs": [{"a": -1.0}]}}],
    "usage": {"prompt_tokens": 1, "completion_tokens": 2},
}  # fmt: skip


@fuzz(
    text=SAID,
    name=st.sampled_from(sorted(FORMATS)),
    opened=st.booleans(),
    cap=st.integers(20, 200),
    data=st.data(),
)
def test_any_text_is_cut_alike_and_none_is_lost(
    text: str, name: str, opened: bool, cap: int, data: st.DataObject
) -> None:
    form = FORMATS[name]
    opened = opened and bool(form.open_reasoning)

    def new() -> Segmenter:
        return Segmenter(form, reasoning_open=opened, max_step_chars=cap)

    whole = new()
    expected = whole.feed(text) + whole.flush()
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=20)))
    chunks = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    reading = new()
    pieces = [piece for chunk in chunks for piece in reading.read(chunk)] + reading.end()
    assert [piece.step for piece in pieces if piece.step is not None] == expected
    assert "".join(piece.text for piece in pieces) == text
    for step in expected:
        assert len(step.text) <= 2 * cap and step.text.strip() and step.start < step.end


class _Upstream(ThreadingHTTPServer):
    """Answers everything with `answer`."""

    daemon_threads = True
    answer = b""
    kind = "text/event-stream"
    status = 200


class _Handler(BaseHTTPRequestHandler):
    server: _Upstream  # pyright: ignore[reportIncompatibleVariableOverride]

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(self.server.status)
        self.send_header("content-type", self.server.kind)
        self.end_headers()
        self.wfile.write(self.server.answer)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing."""


@pytest.fixture(scope="module")
def upstream() -> Iterator[_Upstream]:
    with _Upstream(("127.0.0.1", 0), _Handler) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


async def _read(url: str, codec: TextCodec | VocabularyCodec) -> list[Token]:
    client = UpstreamClient([url], UpstreamSettings(upstream_retries=0))
    backend = AsyncUpstreamBackend(client, "m", codec, reasoning_format=FORMATS["r1"])
    prompt = Prompt(messages=({"role": "user", "content": "a"},), text="a", ids=(1, 2))
    stream = backend.stream(prompt, TokenTable(), {"max_new_tokens": 50})
    try:
        return [token async for tokens in stream for token in tokens]
    finally:
        await stream.close()
        await client.close()


def _events(*records: str) -> bytes:
    return "".join(f"data: {each}\n\n" for each in records).encode("utf-8", "surrogatepass")


@fuzz(data=st.data(), ids=st.booleans())
def test_what_an_upstream_sends_is_tokens_or_one_error(
    upstream: _Upstream, data: st.DataObject, ids: bool
) -> None:
    """Only `UpstreamError`; tokens are of the kinds that the guard expects, and not too many."""
    event = st.one_of(
        changed(EVENT).map(json.dumps), changed(EVENT).map(json.dumps), JSON.map(json.dumps), DEEP
    )
    events = _events(*data.draw(st.lists(event, min_size=1, max_size=4)), "[DONE]")
    upstream.answer = data.draw(st.just(events) | damaged(events))
    upstream.kind = data.draw(st.sampled_from(["text/event-stream"] * 4 + ["application/json"]))
    upstream.status = data.draw(st.sampled_from([200, 200, 200, 200, 400, 401, 429, 500]))
    codec = VocabularyCodec(Vocabulary(tiny_tokenizer().backend_tokenizer)) if ids else TextCodec()
    url = f"http://127.0.0.1:{upstream.server_port}"
    try:
        tokens = asyncio.run(_read(url, codec))
    except UpstreamError as error:
        sentence(error)
        return
    assert len(tokens) <= 50
    for token in tokens:
        assert isinstance(token.text, str) and isinstance(token.id, int | None)


@fuzz(data=st.data())
def test_an_upstreams_plain_answers(upstream: _Upstream, data: st.DataObject) -> None:
    """What it says of itself, of texts and of ids."""
    answer = changed(EVENT).map(json.dumps) | DEEP | JSON.map(json.dumps)
    upstream.answer = data.draw(answer.map(lambda text: text.encode()) | st.binary(max_size=50))
    upstream.kind = "application/json"
    upstream.status = data.draw(st.sampled_from([200, 200, 404, 503]))

    async def ask() -> None:
        url = f"http://127.0.0.1:{upstream.server_port}"
        client = UpstreamClient([url], UpstreamSettings(upstream_retries=0))
        codec = ServerCodec(client, "m")
        try:
            for work in (codec.ids_of("a"), codec.text_of([1]), client.post("/x", {})):
                try:
                    await work
                except UpstreamError as error:
                    sentence(error)
        finally:
            await client.close()

    asyncio.run(ask())
