"""The server's wire: no body, path, query or header brings a 500, a forged log line or a key.

Every refusal is one JSON object with one message; every line of the log is one JSON object, and
neither text of a request nor a key is in it.
"""

import json
import logging
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from fuzzing import DEEP, HOSTILE, changed, damaged, fuzz
from hypothesis import strategies as st
from serving import Running, serving
from talker import TalkerEngine

from rerail.serve.api_keys import keys_from_values
from rerail.serve.server_logs import JsonLines

KEY = "a-key-that-nobody-may-see"
SECRET = "Marzipan"
"""In every request's text."""

CALL = {"id": "1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}
CHAT: dict[str, Any] = {
    "model": "talker",
    "messages": [
        {"role": "system", "content": "Be kind."},
        {"role": "assistant", "content": "x", "tool_calls": [CALL], "reasoning": "hm"},
        {"role": "tool", "tool_call_id": "1", "content": "4"},
        {"role": "user", "content": [{"type": "text", "text": SECRET}]},
    ],
    "n": 1, "seed": 1, "stop": ["x"], "max_tokens": 8, "temperature": 0.5, "top_p": 0.9,
    "tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}],
    "tool_choice": "auto", "logprobs": True, "top_logprobs": 2, "user": SECRET,
    "stream": True, "stream_options": {"include_usage": True}, "metadata": {"a": "b"},
    "chat_template_kwargs": {"enable_thinking": False}, "response_format": {"type": "text"},
    "rerail": {"topic": "t", "policy": "audit", "hold": "step", "report": True},
}  # fmt: skip
COMPLETION: dict[str, Any] = {
    "model": "talker", "prompt": ["say " + SECRET, "b"], "n": 1, "max_tokens": 8, "echo": False,
    "logprobs": 2, "stop": "x", "suffix": None, "best_of": 1, "rerail": {"report": True},
}  # fmt: skip
POSTS: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": CHAT,
    "/v1/completions": COMPLETION,
    "/tokenize": {"model": "talker", "prompt": SECRET, "add_special_tokens": False},
    "/detokenize": {"model": "talker", "tokens": [1, 2]},
}


class Lines(logging.Handler):
    """Every line as the server would write it to stderr."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.setFormatter(JsonLines())
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))


@pytest.fixture(scope="module")
def running() -> Iterator[Running]:
    keys = keys_from_values([KEY], "test", trusted=True)
    with serving(TalkerEngine(), keys=keys, max_body_bytes=2_000_000) as server:
        yield server


@pytest.fixture(scope="module")
def client(running: Running) -> Iterator[httpx.Client]:
    headers = {"authorization": f"Bearer {KEY}"}
    with httpx.Client(base_url=running.url, headers=headers, timeout=60) as made:
        yield made


@pytest.fixture(scope="module")
def log(running: Running) -> Iterator[Lines]:
    lines, logger = Lines(), logging.getLogger("rerail")
    before = logger.level
    logger.addHandler(lines)
    logger.setLevel(logging.DEBUG)
    yield lines
    logger.removeHandler(lines)
    logger.setLevel(before)


def checked(response: httpx.Response, log: Lines) -> None:
    """An answer, or a refusal in a sentence; and what the log says of it."""
    assert response.status_code < 500, (response.status_code, response.text[:300], log.lines[-3:])
    assert KEY not in response.text
    if response.status_code >= 400:
        message = response.json()["error"]["message"]
        assert message and "Traceback" not in message and len(message) < 1000
    elif response.headers["content-type"].startswith("text/event-stream"):
        events = [each for each in response.text.split("\n\n") if each.startswith("data: ")]
        assert events[-1] == "data: [DONE]"
        assert not any('"error"' in each for each in events), events
    for line in log.lines:
        assert "\n" not in line and "\r" not in line and isinstance(json.loads(line), dict)
        assert KEY not in line and SECRET not in line
    log.lines.clear()


@fuzz(path=st.sampled_from(sorted(POSTS)), data=st.data())
def test_bodies(client: httpx.Client, log: Lines, path: str, data: st.DataObject) -> None:
    sound = POSTS[path]
    spoiled = changed(sound).map(lambda value: json.dumps(value).encode())
    content = data.draw(
        spoiled | spoiled | damaged(json.dumps(sound).encode()) | DEEP.map(str.encode)
    )
    headers = {"content-type": "application/json"}
    checked(client.post(path, content=content, headers=headers), log)


@fuzz(
    place=st.sampled_from(["arguments", "metadata", "chat_template_kwargs", "tools", "schema"]),
    depth=st.sampled_from([50, 400, 900, 3_000, 90_000]),
)
def test_deep_values_where_a_body_may_hold_any(
    client: httpx.Client, log: Lines, place: str, depth: int
) -> None:
    deep = "[" * depth + "]" * depth
    body = json.loads(json.dumps(CHAT))
    text = json.dumps(body)
    if place == "arguments":
        body["messages"][1]["tool_calls"][0]["function"]["arguments"] = f'{{"a": {deep}}}'
        text = json.dumps(body)
    elif place == "tools":
        text = text.replace('{"type": "object"}', f'{{"type": "object", "x": {deep}}}')
    elif place == "schema":
        form = (
            f'{{"type": "json_schema", "json_schema": {{"name": "x", "schema": {{"a": {deep}}}}}}}'
        )
        text = text.replace('{"type": "text"}', form)
    elif place == "metadata":
        text = text.replace('{"a": "b"}', f'{{"a": {deep}}}')
    else:
        text = text.replace('{"enable_thinking": false}', f'{{"x": {deep}}}')
    headers = {"content-type": "application/json"}
    checked(client.post("/v1/chat/completions", content=text, headers=headers), log)


@fuzz(
    method=st.sampled_from(["GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH", "X"]),
    path=st.sampled_from(["", "/v1/models/", "/v1/chat/completions/", "/metrics", "/../"]),
    more=HOSTILE,
    query=HOSTILE,
)
def test_paths(
    client: httpx.Client, log: Lines, method: str, path: str, more: str, query: str
) -> None:
    safe_more = more.encode("utf-8", "replace").hex("%") if more else ""
    url = f"{path or '/'}{'%' + safe_more if safe_more else ''}"
    response = client.request(
        method, url, params={"q": query.encode("utf-8", "replace").decode()}, content=b""
    )
    assert response.status_code < 500, (response.status_code, response.text[:300])
    assert KEY not in response.text
    for line in log.lines:
        assert "\n" not in line and isinstance(json.loads(line), dict) and KEY not in line
    log.lines.clear()


@fuzz(
    name=st.sampled_from(
        ["x-request-id", "authorization", "content-type", "origin", "host", "traceparent",
         "accept", "content-encoding", "user-agent", "x-rerail"]
    ),
    value=st.binary(max_size=40).map(
        lambda raw: bytes(each for each in raw if each >= 0x20 and each != 0x7F).strip()
    ),
)  # fmt: skip
def test_headers(client: httpx.Client, log: Lines, name: str, value: bytes) -> None:
    headers: Any = [(name.encode(), value), (b"content-type", b"application/json")]
    body = json.dumps({"model": "talker", "messages": [{"role": "user", "content": "hi"}]})
    response = client.post("/v1/chat/completions", content=body, headers=headers)
    assert response.status_code < 500, (response.status_code, response.text[:300])
    assert KEY not in response.text
    for line in log.lines:
        assert "\n" not in line and isinstance(json.loads(line), dict) and KEY not in line
    log.lines.clear()


@fuzz(text=HOSTILE, key=HOSTILE)
def test_no_text_makes_a_line_of_the_log(running: Running, log: Lines, text: str, key: str) -> None:
    """User ids, topics, model names and keys reach the log, if at all, inside one line."""
    text = text.encode("utf-8", "replace").decode()
    body = {**CHAT, "user": text, "model": text or "talker", "rerail": {"topic": text}}
    key = "".join(each for each in key if " " <= each < "\x7f").strip()
    for authorization in (f"Bearer {KEY}", f"Bearer {KEY}{key}x"):
        response = httpx.post(
            f"{running.url}/v1/chat/completions",
            json=body,
            headers={"authorization": authorization},
        )
        assert response.status_code < 500, response.text
        assert KEY not in response.text
    for line in log.lines:
        assert len(line.splitlines()) == 1 and isinstance(json.loads(line), dict)
        assert KEY not in line and SECRET not in line
    log.lines.clear()
