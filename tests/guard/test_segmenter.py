"""Exact steps for sentences, lines and code in many languages; see `test_segmenter_channels`."""

import re
import sys
from typing import Any

import pytest

from rerail.guard.channels import Channel
from rerail.guard.reasoning_format import FORMATS
from rerail.guard.segmenter import MAX_GAP, Segmenter
from rerail.guard.step_events import PROSE_EVENT

SENTENCES: dict[str, list[str]] = {
    # plain
    "two sentences": ["First one.", "Second one."],
    "question and exclamation": ["Is it? Yes!", "It is."],
    "casual lower case": ["i think so.", "then stop!", "right?", "ok."],
    "stops in a row": ["Really?!", "No way!!", "Fine."],
    "semicolon and colon": ["One; two: three, four.", "Five."],
    "no end": ["It just stops"],
    # abbreviations
    "e.g.": ["Use a tool, e.g. a saw, or i.e. something sharp.", "Good."],
    "titles": ["Ask Mr. Smith, Dr. Jones and Prof. Lee.", "They know."],
    "vs.": ["It is Python vs. Rust here.", "Both work."],
    "case against": ["See Roe v. Wade for that.", "It helps."],
    "etc. inside": ["Nails, screws, etc. are needed.", "Buy them."],
    "etc. at the end": ["Nails, screws, etc.", "Buy them."],
    "country inside": ["He left the U.S. Army in May.", "He was 30."],
    "country at the end": ["He lives in the U.S.", "However, he was born in Rome."],
    "country, lower case": ["The U.S. economy grew.", "Good."],
    "initials": ["It was J. K. Rowling who wrote it.", "Yes."],
    "I is no initial": ["So do I.", "Many do."],
    "company": ["He runs Acme Inc. Europe.", "It sells."],
    "company at the end": ["He runs Acme Inc.", "It sells."],
    "morning": ["Come at 5 p.m. on Friday.", "Or at 9 a.m.", "Both work."],
    "degree": ["She has a Ph.D. from Oslo.", "Wow."],
    "numbers": ["See No. 5, Fig. 3 and p. 12 there.", "Done."],
    "no is a word": ["I say no.", "Never."],
    "months": ["It was on Sept. 5 that year.", "Since then, none."],
    # not ends at all
    "decimals": ["Pi is 3.14 and e is 2.72.", "Both are irrational."],
    "versions": ["Install v1.2.3 or 2.0.", "Then run it."],
    "URLs": ["Go to https://example.org/a.b?q=1.2&x!=y now.", "Then read."],
    "file names": ["Open main.py and .gitignore.", "Save."],
    "dotted names": ["Call os.path.join(a, b).", "It joins."],
    "factorials": ["So 3! = 6 and 4! + 1 is 25.", "Good."],
    # ellipses
    "ellipsis inside": ["Well... maybe so.", "Or not."],
    "ellipsis at the end": ["Let me think...", "Yes."],
    "one-character ellipsis": ["Well… maybe so.", "Hmm…", "Yes."],
    # lists
    "numbered list": ["1. Take the bus.", "2. Get off.", "10. Walk."],
    "marker kinds": ["a. First", "iv. Second", "2.1. Third", "### 3. Fourth", "**4.** Fifth"],
    "a marker in a line": ["Plan: 1. Go there.", "2. Come back."],
    "bullets": ["- Bread. ", "* Milk", "• Eggs."],
    # marks after a stop
    "quote after a stop": ['He said "Go."', "She went."],
    "quote, then on": ['"What is it?" he asked.', "Nothing."],
    "bracket after a stop": ["(It is so.)", "Next (or not).", "Done."],
    "curly quotes": ["He said “Go.”", "She said ‘No.’", "Fine."],
    "bold title": ["**Title.**", "Some text.", "*Note!*", "More."],
    "bracket inside": ["Tools (saws, etc.) are needed.", "Yes."],
    "German quotes": ["Er sagte: „Halt!“", "Dann ging er."],
    # other scripts
    "Chinese": ["今天很好。", "你呢？", "我也好！"],
    "Chinese, quotes": ["他说：“你好。”", "然后走了。"],
    "Chinese, bold": ["**很好。**", "然后。"],
    "Chinese, bold after": ["很好。", "**然后**。"],
    "Chinese, ASCII stops": ["你好吗?", "我很好.", "走吧!"],
    "Chinese ellipsis": ["我想……也许可以。", "好。"],
    "Chinese decimals": ["圆周率是3.14。", "对。"],
    "Japanese": ["今日は。", "元気ですか？", "はい！"],
    "Japanese, particle": ["「なぜ？」と聞いた。", "答えはない。"],
    "Japanese, quote ends": ["「行こう。」", "彼は立った。"],
    "Korean": ["안녕하세요.", "잘 지내요?", "네."],
    "Hindi": ["यह ठीक है।", "क्या आप आएँगे?", "हाँ॥"],
    "Hindi, doctor": ["डॉ. शर्मा आए।", "ठीक।"],
    "Arabic": ["هذا جيد.", "هل تفهم؟", "نعم!"],
    "Urdu": ["یہ ٹھیک ہے۔", "کیوں؟"],
    "Armenian": ["Բարև։", "Լավ եմ։"],
    "Amharic": ["ሰላም።", "ደህና ነኝ።"],
    "Khmer": ["សួស្តី។", "ល្អ។"],
    "Burmese": ["မင်္ဂလာပါ။", "ကောင်းတယ်။"],
    "Greek": ["Τι κάνεις\u037e", "Καλά."],
    "Russian": ["Это так, т.е. верно.", "Да."],
    "German": ["Das ist z.B. Brot.", "Gut, d.h. fertig."],
    "French": ["M. Dupont est là !", "Vraiment ?", "Oui."],
    "Spanish": ["¿Qué es?", "¡Nada!", "Bueno."],
}
"""Steps; joined by blanks, or by nothing where the script writes none, they must come out again."""

UNSPACED = ("Chinese", "Japanese")


def steps_of(text: str, **options: Any) -> list[str]:
    segmenter = Segmenter(FORMATS["none"], reasoning_open=False, **options)
    return [step.text for step in segmenter.feed(text) + segmenter.flush()]


def one_by_one(text: str) -> list[str]:
    segmenter = Segmenter(FORMATS["none"], reasoning_open=False)
    steps = [step for character in text for step in segmenter.feed(character)]
    return [step.text for step in steps + segmenter.flush()]


@pytest.mark.parametrize("name", SENTENCES)
def test_sentences(name: str) -> None:
    expected = [step.strip() for step in SENTENCES[name]]
    if name == "question and exclamation":
        expected = ["Is it?", "Yes!", "It is."]
    if name in ("bullets", "marker kinds"):
        text = "\n".join(expected)
    else:
        text = ("" if name.startswith(UNSPACED) else " ").join(expected)
    assert steps_of(text) == expected
    assert one_by_one(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("One line\nanother line\n\n\nlast", ["One line", "another line", "last"]),
        ("windows\r\nlines\r\n", ["windows", "lines"]),
        ("e.g.\nnot joined", ["e.g.", "not joined"]),
        ("  indented. \n\t more", ["indented.", "more"]),
        ("a\u2028b\u0085c", ["a", "b", "c"]),
        ("", []),
        (" \n ", []),
        ("...", ["..."]),
        ("half a tag <thi", ["half a tag <thi"]),
        ("so 1 < 2. And x<y holds.", ["so 1 < 2.", "And x<y holds."]),
        ("left" + " " * (MAX_GAP + 1) + "right", ["left", "right"]),
        ("left" + " " * MAX_GAP + "right", ["left" + " " * MAX_GAP + "right"]),
    ],
)
def test_lines_and_gaps(text: str, expected: list[str]) -> None:
    assert steps_of(text) == expected
    assert one_by_one(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "Run this:\n```python\nx = 1. # one. Two\nif x:\n    go()\n```\nDone. Yes.",
            ["Run this:", "```python\nx = 1. # one. Two\nif x:\n    go()\n```", "Done.", "Yes."],
        ),
        (
            "```\na = 1\n\nb = 2\n```\nAfter. That.",
            ["```\na = 1", "b = 2\n```", "After.", "That."],
        ),
        ("~~~\na. B\n~~~\nc. d", ["~~~\na. B\n~~~", "c. d"]),
        ("   ```sh\n   ls\n   ```  \nx", ["```sh\n   ls\n   ```", "x"]),
        ("Use ```x``` here.\nNext. One.", ["Use ```x``` here.", "Next.", "One."]),
        ("```so. Why``` is inline.\nNext. One.", ["```so.", "Why``` is inline.", "Next.", "One."]),
        ("```\nnever. Closed\nat all. No", ["```\nnever. Closed\nat all. No"]),
        ("```\n```\nEmpty. Block.", ["```\n```", "Empty.", "Block."]),
    ],
)
def test_code_blocks(text: str, expected: list[str]) -> None:
    assert steps_of(text) == expected
    assert one_by_one(text) == expected


def test_long_code_is_cut_at_a_line_break():
    lines = [f"line_{number:03d} = {number}" for number in range(100)]
    steps = steps_of("```\n" + "\n".join(lines) + "\n```\nEnd. Here.", max_step_chars=100)
    assert steps[-2:] == ["End.", "Here."]
    assert all(len(step) <= 100 for step in steps)
    assert [line for step in steps[:-2] for line in step.split("\n")] == ["```", *lines, "```"]


def test_text_without_punctuation_is_cut_at_the_first_blank_near_the_cap():
    expected = [("word " * 15).strip()] * 4
    assert steps_of("word " * 60, max_step_chars=80) == expected


def test_text_without_blanks_is_cut_at_the_cap():
    assert steps_of("字" * 100, max_step_chars=40) == ["字" * 40, "字" * 40, "字" * 20]
    assert steps_of("a" * 40 + ".", max_step_chars=40) == ["a" * 40, "."]


def test_offsets_and_indices():
    text = " Hi there. \n\nBye"
    segmenter = Segmenter(FORMATS["none"], reasoning_open=False)
    first, last = segmenter.feed(text) + segmenter.flush()
    assert (first.index, first.start, first.end, first.channel) == (0, 1, 10, Channel.ANSWER)
    assert (last.index, last.start, last.end, last.text) == (1, 13, 16, "Bye")
    assert (first.mark.offset, first.mark.num_steps) == (1, 0)
    assert (last.mark.offset, last.mark.num_steps) == (13, 1)


def test_text_goes_out_at_once():
    """A detector that had to wait for the sentence's end would score nothing inside it."""
    segmenter = Segmenter(FORMATS["r1"], reasoning_open=True)
    given = []
    for token in ("I", " could", " try", ".", " Or", " U", ".", "S", ".", " Army", " bases", "\n"):
        given.append("|".join(piece.text for piece in segmenter.read(token)))
    assert given == [
        *("I", " could", " try", ".", "| |Or", " U", ".", "S", "."),
        *("", " Army bases", "|\n"),
    ]


def test_close_step_forces_a_boundary_and_keeps_the_channel():
    segmenter = Segmenter(FORMATS["r1"], reasoning_open=True)
    segmenter.read("But wait, this is dangerous ")
    pieces = segmenter.close_step()
    assert [(piece.text, piece.step and piece.step.text) for piece in pieces] == [
        ("", "But wait, this is dangerous"),
        (" ", None),
    ]
    assert segmenter.close_step() == []
    assert segmenter.feed("and more. ")[0].start == len("But wait, this is dangerous ")
    assert segmenter.channel is Channel.REASONING


def test_mark_is_the_open_steps_start_or_here():
    segmenter = Segmenter(FORMATS["r1"], reasoning_open=True)
    assert segmenter.mark().offset == 0
    segmenter.read("One. Two th")
    assert (segmenter.mark().offset, segmenter.mark().num_steps) == (5, 1)
    segmenter.read("ree.\n")
    assert (segmenter.mark().offset, segmenter.mark().num_steps) == (16, 2)


def test_rewind_into_a_code_block():
    """A rewind that forgot the fence would cut the code into sentences."""
    segmenter = Segmenter(FORMATS["none"], reasoning_open=False)
    segmenter.read("```\na. B\n\nb. ")
    segmenter.rewind(segmenter.mark())
    assert [step.text for step in segmenter.feed("c. D\n```\nE. F\n")] == ["c. D\n```", "E. F"]


class CountedSearch:
    """The pattern of a step's end, counting the characters that it looks at."""

    def __init__(self) -> None:
        self.num_chars = 0

    def search(self, text: str, start: int = 0, end: int = sys.maxsize) -> re.Match[str] | None:
        found = PROSE_EVENT.search(text, start, end)
        self.num_chars += (found.end() if found else min(end, len(text))) - start
        return found


@pytest.mark.parametrize("text", ["word " * 20_000, "<" * 20_000 + "." * 20_000])
def test_work_grows_with_the_text_only(text: str) -> None:
    """Searching on to the chunk's end from every step once took minutes for these."""
    segmenter = Segmenter(FORMATS["none"], reasoning_open=False)
    counted = CountedSearch()
    segmenter._event = counted  # type: ignore[assignment]
    assert len(segmenter.feed(text)) > 90
    assert 0 < counted.num_chars <= 2 * len(text)
