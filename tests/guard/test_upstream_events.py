"""Reading server-sent events: any pieces, any line ends, and no more memory than allowed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rerail.guard.upstream_errors import UpstreamError, UpstreamFault
from rerail.guard.upstream_events import EventReader

CASES = {
    "plain": (b'data: {"a":1}\n\ndata: [DONE]\n\n', [b'{"a":1}', b"[DONE]"]),
    "carriage returns": (b"data: 1\r\n\r\ndata: 2\r\rdata: 3\n\n", [b"1", b"2", b"3"]),
    "no blank": (b"data:1\n\ndata:  2\n\n", [b"1", b" 2"]),
    "comments": (b": ping\n\ndata: 1\n: more\n\n:\n\n", [b"1"]),
    "other fields": (b"event: x\nid: 3\nretry: 9\ndata: 1\nnonsense\n\n", [b"1"]),
    "several lines": (b"data: {\ndata: }\n\n", [b"{\n}"]),
    "no end": (b"data: 1\n\ndata: 2", [b"1", b"2"]),
    "no blank line at the end": (b"data: 1\n", [b"1"]),
    "byte order mark": (b"\xef\xbb\xbfdata: 1\n\n", [b"1"]),
    "empty": (b"", []),
    "blank lines": (b"\n\n\n\ndata: x\n\n\n\n", [b"x"]),
    "characters of several bytes": ("data: \u2028 \x85é\n\n".encode(), ["\u2028 \x85é".encode()]),
}


@pytest.mark.parametrize("name", CASES)
def test_events(name: str) -> None:
    text, expected = CASES[name]
    reader = EventReader()
    assert [*reader.feed(text), *reader.flush()] == expected


@given(st.sampled_from(sorted(CASES)), st.data())
def test_in_any_pieces(name: str, data: st.DataObject) -> None:
    text, expected = CASES[name]
    reader, found = EventReader(), []
    while text:
        size = data.draw(st.integers(1, len(text)))
        found += reader.feed(text[:size])
        text = text[size:]
    assert found + reader.flush() == expected


@given(st.binary(max_size=200), st.integers(1, 9))
def test_no_bytes_are_too_strange(text: bytes, size: int) -> None:
    whole, pieces = EventReader(), EventReader()
    expected = [*whole.feed(text), *whole.flush()]
    found = [each for at in range(0, len(text), size) for each in pieces.feed(text[at : at + size])]
    assert found + pieces.flush() == expected


@pytest.mark.parametrize("line", [b"data: " + b"x" * 50, b"data: x\n" * 50, b"x" * 50])
def test_what_grows_without_an_end_is_an_error(line: bytes) -> None:
    reader = EventReader(max_event_bytes=40)
    with pytest.raises(UpstreamError, match="more than 40 bytes") as caught:
        for at in range(0, len(line), 10):
            reader.feed(line[at : at + 10])
    assert caught.value.fault is UpstreamFault.MALFORMED
