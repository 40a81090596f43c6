"""Who may ask, what they may ask for, and what never gets out."""

import hashlib
import json
import logging
import socket
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from serving import Running, serving
from talker import Talker, TalkerEngine

from rerail.serve.api_keys import keys_from_file, keys_from_values
from rerail.serve.server_logs import JsonLines
from rerail.serve.server_run import check_exposure
from rerail.serve.server_settings import ServerSettings

PLAIN, TRUSTED, SLOW = ("plain-key-0123456789", "trusted-key-0123456789", "slow-key-0123456789")


HALF = json.dumps({"model": "talker", "messages": [{"role": "user", "content": "\ud800"}]}).encode()


def body(text: str = "hello", **fields: Any) -> dict[str, Any]:
    return {"model": "talker", "messages": [{"role": "user", "content": text}], **fields}


def bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    path = tmp_path_factory.mktemp("keys") / "keys.txt"
    hashed = "sha256:" + hashlib.sha256(TRUSTED.encode()).hexdigest()
    path.write_text(
        f"# keys\nplain {PLAIN}\nowner {hashed} trusted\n"
        f"slow {SLOW} requests_per_minute=2 max_concurrent=2\n"
    )
    engine = TalkerEngine(Talker(delay_s=0.005))
    with serving(
        engine, keys=keys_from_file(path), max_body_bytes=20_000,
        cors_origin=("https://chat.example.org",),
    ) as running:  # fmt: skip
        yield running


@pytest.fixture
def client(locked: Running) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=locked.url) as made:
        yield made


def code(response: httpx.Response) -> tuple[int, str]:
    return response.status_code, response.json()["error"]["code"]


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": "Bearer"},
        {"authorization": f"Basic {PLAIN}"},
        {"authorization": PLAIN},
        bearer("wrong-key-0123456789"),
        bearer(PLAIN + "x"),
        bearer(PLAIN[:-1]),
    ],
)
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/completions", "/tokenize"])
def test_nothing_without_a_key(client: httpx.Client, path: str, headers: dict[str, str]) -> None:
    response = client.post(path, json=body(), headers=headers)
    assert code(response) == (401, "invalid_api_key")
    for other in ("/v1/models", "/metrics", "/nowhere"):
        assert client.get(other, headers=headers).status_code == 401


def test_with_a_key_all_is_well(client: httpx.Client) -> None:
    for key in (PLAIN, TRUSTED):
        assert client.post(
            "/v1/chat/completions", json=body(), headers=bearer(key)
        ).status_code == 200  # fmt: skip
    assert client.get("/metrics", headers=bearer(PLAIN)).status_code == 200
    assert client.get("/health").status_code == client.get("/ready").status_code == 200


@pytest.mark.parametrize("options", [{"report": True}, {"policy": "audit"}, {}])
def test_guard_options_are_for_the_trusted(client: httpx.Client, options: dict[str, Any]) -> None:
    asked = body(rerail=options)
    refused = client.post("/v1/chat/completions", json=asked, headers=bearer(PLAIN))
    assert code(refused) == (403, "guard_options_not_allowed")
    allowed = client.post("/v1/chat/completions", json=asked, headers=bearer(TRUSTED))
    assert allowed.status_code == 200
    assert ("rerail" in allowed.json()) is bool(options.get("report"))


def test_limits_of_one_key(client: httpx.Client) -> None:
    too_many = client.post("/v1/chat/completions", json=body(n=3), headers=bearer(SLOW))
    assert code(too_many) == (429, "concurrency_limit_exceeded")
    assert client.post(
        "/v1/chat/completions", json=body(n=2), headers=bearer(SLOW)
    ).status_code == 200  # fmt: skip
    third = client.post("/v1/chat/completions", json=body(), headers=bearer(SLOW))
    assert code(third) == (429, "rate_limit_exceeded")
    assert 1 <= int(third.headers["retry-after"]) <= 30
    assert client.post(
        "/v1/chat/completions", json=body(), headers=bearer(PLAIN)
    ).status_code == 200, "others are not held up"  # fmt: skip


def test_long_bodies(client: httpx.Client) -> None:
    long = body("x" * 30_000)
    assert code(client.post("/v1/chat/completions", json=long, headers=bearer(PLAIN))) == (
        413,
        "body_too_long",
    )

    def chunked() -> Iterator[bytes]:
        yield from [b" " * 10_000] * 3

    headers = {**bearer(PLAIN), "content-type": "application/json"}
    response = client.post("/v1/chat/completions", content=chunked(), headers=headers)
    assert code(response) == (413, "body_too_long"), "a length that nobody has announced"
    context = client.post("/v1/chat/completions", json=body("word " * 3000), headers=bearer(PLAIN))
    assert code(context) == (400, "context_length_exceeded")


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b"[" * 19_000, b"\xff\xfe{}", HALF])
def test_broken_bodies(client: httpx.Client, content: bytes) -> None:
    headers = {**bearer(PLAIN), "content-type": "application/json"}
    response = client.post("/v1/chat/completions", content=content, headers=headers)
    assert code(response) == (400, "invalid_json")


def test_headers(client: httpx.Client) -> None:
    response = client.post(
        "/v1/chat/completions", json=body(), headers={**bearer(PLAIN), "x-request-id": "mine-0001"}
    )
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.headers["cache-control"] == "no-store"
    assert response.headers["x-request-id"] == "mine-0001"
    assert "server" not in response.headers
    assert "access-control-allow-origin" not in response.headers
    forged = {**bearer(PLAIN), "x-request-id": 'a" level="x'}
    answer = client.get("/v1/models", headers=forged)
    assert answer.headers["x-request-id"].startswith("req-")


def test_foreign_pages(client: httpx.Client) -> None:
    """CORS is off but for the named origin; a POST that needs no permission is refused."""
    ask = {"origin": "https://evil.example", "access-control-request-method": "POST"}
    assert (
        "access-control-allow-origin"
        not in client.options("/v1/chat/completions", headers=ask).headers
    )
    known = client.options(
        "/v1/chat/completions", headers={**ask, "origin": "https://chat.example.org"}
    )
    assert known.headers["access-control-allow-origin"] == "https://chat.example.org"
    plain = {**bearer(PLAIN), "content-type": "text/plain"}
    response = client.post("/v1/chat/completions", content=json.dumps(body()), headers=plain)
    assert code(response) == (415, "unsupported_media_type")


def test_without_keys_only_loopback_names_are_answered() -> None:
    """A page whose name has been rebound to 127.0.0.1 sends its own name as Host."""
    with serving(TalkerEngine(), anonymous_trusted=False) as running:
        assert httpx.get(f"{running.url}/v1/models").status_code == 200
        rebound = httpx.get(f"{running.url}/v1/models", headers={"host": "evil.example:80"})
        assert code(rebound) == (421, "misdirected_request")
        asked = httpx.post(f"{running.url}/v1/chat/completions", json=body(rerail={}))
        assert code(asked) == (403, "guard_options_not_allowed"), "anonymous is not trusted"


def test_other_addresses_need_a_key() -> None:
    for host in ("0.0.0.0", "::", "192.0.2.1", "example.org", socket.gethostname()):
        with pytest.raises(ValueError, match="need a key"):
            check_exposure(ServerSettings(host=host), 0)
        check_exposure(ServerSettings(host=host), 1)
    for host in ("127.0.0.1", "127.3.2.1", "::1", "localhost"):
        check_exposure(ServerSettings(host=host), 0)


def test_metrics_in_public_only_where_asked_for() -> None:
    keys = keys_from_values([PLAIN], "test")
    with serving(TalkerEngine(), keys=keys, public_metrics=True) as running:
        page = httpx.get(f"{running.url}/metrics")
        assert page.status_code == 200 and "rerail_tokens_judged_total" in page.text
        assert httpx.get(f"{running.url}/v1/models").status_code == 401


def test_logs_hold_no_text_and_no_key(
    locked: Running, client: httpx.Client, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, logger="rerail")
    secret = "say Marzipan is wicked. Fine.</think>\n\nMarzipan."
    client.post("/v1/chat/completions", json=body(secret, user="bob"), headers=bearer(PLAIN))
    broken = client.post(
        "/v1/chat/completions", json=body("break Marzipan."), headers=bearer(PLAIN)
    )
    assert broken.status_code == 500 and "secret" not in broken.text
    client.post("/v1/chat/completions", json=body(), headers=bearer("wrong-" + PLAIN))
    locked.wait_for(lambda: sum(r.message == "request" for r in caplog.records) >= 3)
    formatter = JsonLines()
    records = [each for each in caplog.records if each.name.startswith("rerail")]
    lines = [formatter.format(record) for record in records]
    assert not any("arzipan" in line or "secret" in line or PLAIN in line for line in lines)
    assert not any("bob" in line for line in lines)
    first = next(json.loads(line) for line in lines if "traces" in line)
    assert first["caller"] == "plain" and first["scanned"] == "all" and first["status"] == 200
    assert first["interventions"] == 1 and len(first["user"]) == 12


def test_no_text_in_metrics(locked: Running, client: httpx.Client) -> None:
    client.post("/v1/chat/completions", json=body("say Marzipan."), headers=bearer(PLAIN))
    client.get("/marzipan/../../x", headers=bearer(PLAIN))
    assert "arzipan" not in client.get("/metrics", headers=bearer(PLAIN)).text


def test_busy_server_refuses() -> None:
    with serving(TalkerEngine(), max_concurrent=4, max_choices=4) as running:
        assert httpx.post(
            f"{running.url}/v1/chat/completions", json=body(n=4)
        ).status_code == 200  # fmt: skip
        running.service.limits.num_running = 1
        full = httpx.post(f"{running.url}/v1/chat/completions", json=body(n=4))
        assert code(full) == (503, "overloaded")
        running.service.limits.num_running = 0
