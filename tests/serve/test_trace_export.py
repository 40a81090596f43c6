"""Exports: self-contained, and nothing that a model wrote becomes markup."""

import re
import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser

import pytest
from golden_traces import TRACES
from hypothesis import given
from hypothesis import strategies as st

from rerail.serve.themes import DARK, LIGHT
from rerail.serve.trace_html import safe, trace_html
from rerail.serve.trace_markdown import plain, trace_markdown
from rerail.serve.trace_svg import trace_svg


class _Page(HTMLParser):
    """Collects tags and text; fails on whatever is not closed."""

    VOID = ("meta",)

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.text = ""
        self._open: list[str] = []
        self.deleted = self.inserted = ""
        self.feed(page)
        self.close()
        assert not self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        assert not {name for name, _ in attrs} & {"src", "href", "onclick", "onerror", "onload"}
        if tag not in self.VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data
        self.deleted += data if "del" in self._open else ""
        self.inserted += data if "ins" in self._open else ""


@pytest.mark.parametrize("name", TRACES)
def test_html_is_well_formed_and_needs_nothing_from_elsewhere(name: str) -> None:
    page = trace_html(TRACES[name]())
    parsed = _Page(page)
    assert not set(parsed.tags) & {"script", "link", "img", "iframe", "object", "a"}
    assert "url(" not in page and "@import" not in page
    if name != "hostile":
        assert "http" not in page


def test_html_marks_what_was_taken_out_and_what_was_put_in() -> None:
    parsed = _Page(trace_html(TRACES["intervened"]()))
    assert "Then the EVIL plan begins to take shape here" in parsed.deleted
    assert "If this worked, someone would be hurt" in parsed.inserted
    for words in ("CUE", "ROLLED BACK", "INJECTED", "no further cue followed", "0.95"):
        assert words in parsed.text


def test_hostile_text_stays_text_in_html() -> None:
    page = trace_html(TRACES["hostile"]())
    parsed = _Page(page)
    assert "script" not in parsed.tags and "b" not in parsed.tags
    assert "<script>alert(1)</script>" in parsed.text and "<b>&amp;</b>" in parsed.text
    assert all(character.isprintable() or character == "\n" for character in page)


@given(st.text())
def test_any_text_survives_html_as_itself(text: str) -> None:
    parsed = _Page(f"<p>{safe(text)}</p>")
    assert parsed.tags == ["p"]


def test_markdown_names_everything() -> None:
    text = trace_markdown(TRACES["intervened"]())
    assert "~~Then the EVIL plan begins to take shape here" in text
    assert "**INJECTED** safety trigger" in text
    assert "**CUE** rolled back 9 tokens" in text
    rows = [line for line in text.splitlines() if line.startswith("|")]
    # Every line of a table has as many cells as its head, whatever the model wrote.
    assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows} <= {3, 5}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("![x](http://y)", r"\!\[x\]\(http://<!-- -->y\)"),
        ("<script>", r"\<script\>"),
        ("a|b\n# c", r"a\|b #<!-- --> c"),
        ("@name #12 www.x.test", r"@<!-- -->name #<!-- -->12 www<!-- -->\.x\.test"),
        ("`code` ~~x~~ $y$", r"\`code\` \~\~x\~\~ \$y\$"),
        ("\x1b[2J", r"\\x1b\[2J"),
    ],
)
def test_model_text_makes_no_markdown_of_its_own(text: str, expected: str) -> None:
    assert plain(text) == expected


@pytest.mark.parametrize("name", TRACES)
@pytest.mark.parametrize("theme", [DARK, LIGHT], ids=lambda theme: theme.name)
def test_svg_is_well_formed_and_needs_nothing_from_elsewhere(name: str, theme: object) -> None:
    picture = trace_svg(TRACES[name](), 100, theme)  # type: ignore[arg-type]
    root = ElementTree.fromstring(picture)
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    local = picture.replace("http://www.w3.org/2000/svg", "")
    assert "url(http" not in local and "@font-face" not in local and "href" not in local
    assert not {each.tag.rsplit("}", 1)[-1] for each in root.iter()} & {"script", "image", "a"}


def test_svg_of_a_trace_is_the_same_every_time() -> None:
    trace = TRACES["intervened"]()
    assert trace_svg(trace, 100, DARK) == trace_svg(trace, 100, DARK)
    assert "line-through" in trace_svg(trace, 100, DARK)
    text = "".join(ElementTree.fromstring(trace_svg(trace, 100, DARK)).itertext())
    assert "INJECTED" in text and "someone" in text.replace("\xa0", " ")
