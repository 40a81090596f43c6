"""Neutralises the placeholders that stand for withheld detail in written traces.

Written harm is abstract: "[step withheld]". Such marks occur next to harm only, and a student would
learn the mark and not the step. Brackets go from every text, harmful or not, and of what they held
only ordinary words stay; an empty one becomes one of several plain words, picked by the text.
"""

import re
import zlib
from dataclasses import replace

from .labels import LabelledTrace

_BRACKETS = re.compile(r"[\[［【〔]([^\[\]］】〕]{0,120})[\]］】〕]?(?!\()")
_MARK_WORDS = re.compile(
    r"\b(?:details?|withheld|redacted|omitted|removed|left out|placeholder|elided)\b"
    r"|…|\.\.\.|[略省伏]|محذوف|تفصيل",
    re.IGNORECASE,
)
_BARE_MARKS = re.compile(
    r"\b(?:withheld|redacted|placeholder)\b|(?:具体|步骤|细节)略", re.IGNORECASE
)
_PLAIN = ("that", "it", "this part", "the next thing", "one of them", "the usual kind")


def without_placeholders(text: str) -> str:
    """The text with every bracketed part opened and every mark of withholding taken out."""
    text = _BRACKETS.sub(_opened, text)
    text = _BARE_MARKS.sub("that", text)
    return re.sub(r"[ \t]{2,}", " ", text)


def masked_trace(trace: LabelledTrace) -> LabelledTrace:
    """The trace without placeholders in its request, its steps and its answer."""
    return replace(
        trace,
        request=without_placeholders(trace.request),
        steps=tuple(without_placeholders(step) for step in trace.steps),
        answer=tuple(without_placeholders(step) for step in trace.answer),
    )


def _opened(match: re.Match[str]) -> str:
    held = _MARK_WORDS.sub(" ", match.group(1))
    held = " ".join(held.split()).strip(" ,:;-")
    return held if held else _PLAIN[zlib.crc32(match.string.encode()) % len(_PLAIN)]
