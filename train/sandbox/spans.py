"""Where the sentences of a chain of thought lie."""

import re

Span = tuple[int, int]
"""Characters [start, end)."""

_BREAK = re.compile(r"(?<=[.!?])\s+|\n+")
_QUOTED = re.compile(r"\"[^\"\n]*\"|“[^”\n]*”")


def sentence_spans(think: str) -> list[Span]:
    """Cut at sentence ends and line breaks, but not inside a quotation."""
    blanked, spans, start = blank_quotes(think), [], 0
    for end, after in [*(found.span() for found in _BREAK.finditer(blanked)), (len(think),) * 2]:
        if think[start:end].strip():
            skipped = len(think[start:end]) - len(think[start:end].lstrip())
            spans.append((start + skipped, start + len(think[start:end].rstrip())))
        start = after
    return spans


def blank_quotes(text: str) -> str:
    """The text with quotations blanked out, every other character where it was."""
    return _QUOTED.sub(lambda found: "_" * len(found[0]), text)
