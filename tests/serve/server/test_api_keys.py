"""Keys and limits."""

import hashlib
from pathlib import Path

import pytest

from rerail.serve.api_keys import ApiKeys, Caller, keys_from_file, keys_from_values
from rerail.serve.rate_limits import RateLimits
from rerail.serve.wire_errors import ApiError

KEY = "0123456789abcdef"


def test_found_by_key_only() -> None:
    keys = ApiKeys(keys_from_values([KEY, KEY + "2"], "test"))
    found = keys.find(KEY + "2")
    assert found is not None and found.name == "test-2" and not found.trusted
    assert keys.find(KEY[:-1]) is None and keys.find(None) is None and keys.find("") is None
    assert ApiKeys().find(None) == Caller(name="anonymous")


def test_keys_are_kept_as_hashes(tmp_path: Path) -> None:
    hashed = "sha256:" + hashlib.sha256(KEY.encode()).hexdigest()
    path = tmp_path / "keys"
    path.write_text(f"\n# a comment\nteam {hashed} trusted max_concurrent=3\n")
    (key,) = keys_from_file(path)
    assert KEY not in repr(key) and key.caller.trusted and key.caller.max_concurrent == 3
    assert ApiKeys([key]).find(KEY) == key.caller
    assert ApiKeys([key]).find(hashed) is None, "the hash is no key"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "holds no API key"),
        ("team", "line 1"),
        (f"team {KEY[:15]}", "shorter than 16"),
        ("team sha256:12", "64 hexadecimal"),
        (f"te/am {KEY}", "line 1"),
        (f"team {KEY} admin", "word 3 is no option"),
        (f"team {KEY} max_concurrent=0", "is no option"),
        (f"a {KEY}\nb {KEY[:15]}", "line 2"),
    ],
)
def test_files_that_are_wrong(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "keys"
    path.write_text(text)
    with pytest.raises(ValueError, match=message) as caught:
        keys_from_file(path)
    assert KEY[:15] not in str(caught.value), "an error message is no place for a key"


def test_names_are_different() -> None:
    keys = keys_from_values([KEY], "same") + keys_from_values([KEY + "2"], "same")
    with pytest.raises(ValueError, match="two API keys"):
        ApiKeys(keys)


def test_requests_refill_with_time() -> None:
    now = [0.0]
    limits = RateLimits(
        requests_per_minute=2, max_concurrent_per_key=None, max_concurrent=9, clock=lambda: now[0]
    )
    one, other = Caller(name="one"), Caller(name="other")
    limits.request(one)
    limits.request(one)
    with pytest.raises(ApiError) as caught:
        limits.request(one)
    assert caught.value.status == 429 and caught.value.headers == {"retry-after": "30"}
    limits.request(other)
    now[0] = 30.0
    limits.request(one)
    with pytest.raises(ApiError):
        limits.request(one)


def test_generations_are_given_back_whatever_happens() -> None:
    limits = RateLimits(requests_per_minute=None, max_concurrent_per_key=2, max_concurrent=3)
    one, other = Caller(name="one"), Caller(name="other")
    with pytest.raises(RuntimeError), limits.generations(one, 2):
        with pytest.raises(ApiError) as caught, limits.generations(one, 1):
            pass
        assert caught.value.status == 429
        with pytest.raises(ApiError) as busy, limits.generations(other, 2):
            pass
        assert busy.value.status == 503
        raise RuntimeError
    assert limits.num_running == 0
    with limits.generations(one, 2):
        assert limits.num_running == 2
