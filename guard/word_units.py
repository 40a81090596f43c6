"""Text into word units for the streaming student: splitting, and undoing common disguises.

A unit is a word of at most `MAX_WORD_CHARS` characters, one character of a script written without
spaces, or one of a few marks; all else only separates. The split looks at nothing beyond the unit
under way, so any chunking of a text gives the same units.
"""

import re
import unicodedata

MAX_WORD_CHARS = 24
"""Longer runs are cut into several units, so that the unfinished word in a state stays small."""

MARKS = frozenset(".,:;?!")
"""The ASCII characters that are units by themselves."""

_UNSPACED = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\u0e00-\u0e7f"
_INVISIBLE = "\u00ad\u200b-\u200f\u2060-\u2064\ufe0e\ufe0f\ufeff"
# Apostrophes, and the signs that stand for letters in disguised words ($, @), belong to words; so
# do the invisible characters, which would else split one.
_SEPARATORS = (
    "\\s!-#%&(-/:-?\\[-`{-~\u00a1-\u00ac\u00ae-\u00bf\u2010-\u2018\u201a-\u205f\u2065-\u206f"
    "\u3000-\u303f\uff00-\uff0f\uff1a-\uff20\uff3b-\uff40\uff5b-\uff65\u0964\u0965\u060c\u061b"
    "\u061f\u06d4"
)
_UNIT = re.compile(
    f"(?P<word>[^{_SEPARATORS}{_UNSPACED}]{{1,{MAX_WORD_CHARS}}})|[{_UNSPACED}]|[{''.join(sorted(MARKS))}。！？।؟]"
)
_MARKS = {"。": ".", "！": "!", "？": "?", "।": ".", "؟": "?"}

_LOOKALIKES = str.maketrans(
    "аесорхуіјѕԁԛԝ" + "αεοριυνκτ" + "ɑɡıⅼ", "aecopxyijsdqw" + "aeopiuvkt" + "agil"
)
_LEET = str.maketrans("0134578@$", "oieastbas")
_INVISIBLE_CHARS = re.compile(f"[{_INVISIBLE}]")
_LETTER_RUN = re.compile(r"([^\W\d_])\1{2,}")
_LEET_WORD = re.compile(r"[^\W\d_][0134578@$]+[^\W\d_]")
_LATIN = re.compile(r"[a-z]")
_NOT_ASCII = re.compile(r"[^\x00-\x7f]")
_SPACED_LETTERS = re.compile(r"(?<!\w)[^\W\d_]([ .\-_*·])(?:[^\W\d_]\1){2,}[^\W\d_](?!\w)")


def split_units(text: str) -> tuple[list[str], str]:
    """The complete units of `text`, and the unfinished word at its end (possibly empty)."""
    units: list[str] = []
    for match in _UNIT.finditer(text):
        unit = match.group()
        if match.end() == len(text) and match.group("word") and len(unit) < MAX_WORD_CHARS:
            return units, unit
        units.append(unit)
    return units, ""


def plain_word(word: str) -> str:
    """A word lower-cased, with invisible characters, look-alike letters and leetspeak undone."""
    word = _MARKS.get(word, word).replace("’", "'")
    if _NOT_ASCII.search(word):
        word = _INVISIBLE_CHARS.sub("", unicodedata.normalize("NFKC", word)).lower()
        if _LATIN.search(word):
            word = word.translate(_LOOKALIKES)
    else:
        word = word.lower()
    if _LEET_WORD.search(word):
        word = word.translate(_LEET)
    return _LETTER_RUN.sub(r"\1\1", word)


def plain_text(text: str) -> str:
    """A whole text with every word made plain and "k i l l" joined; blanks become single spaces."""
    text = unicodedata.normalize("NFKC", _INVISIBLE_CHARS.sub("", text))
    text = _SPACED_LETTERS.sub(lambda match: match.group().replace(match.group(1), ""), text)
    return " ".join(plain_word(word) for word in text.split())
