"""Text of models and users made fit for a terminal.

What a model writes may hold escape sequences that move the cursor, rewrite what stands above or
change the window's title; shown here they are letters.
"""

import re

_UNSAFE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f"  # control characters but tab and line feed
    "\u061c\u180e\ufff9-\ufffb\U000e0001-\U000e007f"  # direction, annotations, invisible letters
    "\u200b\u200e\u200f\u2028\u2029\u202a-\u202e\u2060\u2066-\u2069\ufeff"  # invisible, direction
    "\ud800-\udfff]"
)


def visible(text: str) -> str:
    r"""`text` with every character that a terminal would act on written out, such as `\x1b`."""
    return _UNSAFE.sub(_escaped, text.replace("\r\n", "\n"))


def one_line(text: str, width: int) -> str:
    """The beginning of `text` on one line of at most `width` characters."""
    line = visible(" ".join(text.split()))
    return line if len(line) <= width else line[: max(0, width - 1)].rstrip() + "…"


def _escaped(match: re.Match[str]) -> str:
    code = ord(match[0])
    if code > 0xFFFF:
        return f"\\U{code:08x}"
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"
