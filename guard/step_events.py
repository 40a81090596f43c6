"""The characters at which a step may end or markup begin, compiled for searching.

Each mode has an exact pattern, and a character class that matches in every chunk where the exact
one does unless its spaces are the event: one class is three times as fast to search for.
"""

import re
from typing import Final

from .sentences import STOPS

_BREAKS = r"\n\r\v\f\x85\u2028\u2029"
_ODD_BLANKS = r"\t\n\r\v\f\x1c-\x1f\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
_STOPS = re.escape("".join(sorted(STOPS)))
_OPEN_SPACE = r"\s(?:[\s<]|\Z)"
"""A single blank inside a sentence is no event, and nothing is known of one at a chunk's end."""

PROSE_EVENT: Final = re.compile(rf"[<{_BREAKS}{_STOPS}]|{_OPEN_SPACE}")
"""Markup, a line break, a stop, or a blank that may be more than one."""

CODE_EVENT: Final = re.compile(rf"[<{_BREAKS}]|{_OPEN_SPACE}")
"""The same in fenced code, where a stop says nothing."""

PROSE_CANDIDATE: Final = re.compile(rf"[<{_ODD_BLANKS}{_STOPS}]")
"""Characters one of which is in every chunk that has a `PROSE_EVENT` other than spaces."""

CODE_CANDIDATE: Final = re.compile(rf"[<{_ODD_BLANKS}]")
"""The same for `CODE_EVENT`."""

BLANKS: Final = re.compile(r"\s+")
"""A run of blanks, line breaks among them."""

LINE_BREAK: Final = re.compile(rf"[{_BREAKS}]")
"""One character that breaks lines: "\\r\\n" is two."""

FENCE_OPENS: Final = re.compile(r"(?:```[^`]*|~~~.*)\Z")
"""A whole line that opens a block of code."""

FENCE_CLOSES: Final = re.compile(r"\s*(?:```+|~~~+)\s*\Z")
"""A whole line that closes it."""
