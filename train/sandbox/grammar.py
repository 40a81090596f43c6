"""Read a sentence back: which role of the grammar wrote it.

Matching is against the templates themselves, first whole, then, for the somewhat garbled text of a
small model, by the share of a template's word pairs that a sentence holds. What matches nothing,
such as a foreign trigger, has no role.
"""

import re
from functools import cache
from itertools import pairwise

from .roles import Role
from .safety import CORES, OPENINGS, PARTS, QUOTING
from .sentences import TEMPLATES
from .voices import DECORATIONS

_SLOTS = {"a": "[a-z]", "b": "[a-z]", "quoted": "_+"}
"""What other than free text a slot holds; the judge blanks quotations with underscores."""
_SLOT = re.compile(r"\{(\w+)\}")
_COVERAGE = 0.75
"""How much of a template a garbled sentence must hold."""
_LEAST_PAIRS = 4
"""Shorter templates are matched whole or not at all."""
_NEGATIONS = re.compile(r"\b(not|won't|can't|cannot|never|no|refuse|decline|stop)\b")
_LETTER_STEP = re.compile(r"\b[Ss]tep [A-Z]\b")
_OPENINGS = sorted(
    {o.strip().lower() for text in DECORATIONS.values() for o in text.split("|") if o}, key=len
)[::-1]


@cache
def read(sentence: str) -> Role | None:
    """The role of one sentence, or None when the grammar cannot have written it."""
    bare = _bare(sentence)
    forms = [bare]
    for _ in range(2):
        opening = next((o for o in _OPENINGS if forms[-1].startswith(o + " ")), None)
        if opening is None:
            break
        forms.append(forms[-1].removeprefix(opening).strip())
    for role, pattern in _whole():
        if any(pattern.fullmatch(form) for form in forms):
            return role
    if _safety().fullmatch(bare):
        return Role.SAFETY
    if _LETTER_STEP.search(sentence) and not _NEGATIONS.search(bare):
        return Role.DETAIL
    return _garbled(forms[-1])


def _garbled(text: str) -> Role | None:
    pairs, negated = _pairs(text), bool(_NEGATIONS.search(text))
    best: tuple[float, Role | None] = (0.0, None)
    for role, wanted, template_negated in _template_pairs():
        coverage = len(wanted & pairs) / len(wanted)
        if coverage >= _COVERAGE and coverage > best[0] and negated == template_negated:
            best = coverage, role
    return best[1]


def _bare(sentence: str) -> str:
    return _bare_case(sentence).lower()


def _bare_case(sentence: str) -> str:
    return re.sub(r"\s+", " ", sentence).strip().rstrip(".!?,:; ")


def _pairs(text: str) -> frozenset[tuple[str, str]]:
    words = re.findall(r"[\w']+|_", text)
    return frozenset(pairwise(words))


@cache
def _whole() -> tuple[tuple[Role, re.Pattern[str]], ...]:
    """Every template as a pattern; the wordier first, so that the more specific one wins."""
    found = []
    for role, by_voice in TEMPLATES.items():
        for text in by_voice.values():
            found += [(role, template) for template in text.splitlines()]
    found.sort(key=lambda pair: -len(_SLOT.sub("", pair[1])))
    return tuple((role, re.compile(_pattern(template, {}))) for role, template in found)


@cache
def _template_pairs() -> tuple[tuple[Role, frozenset[tuple[str, str]], bool], ...]:
    found = []
    for role, by_voice in TEMPLATES.items():
        for template in "\n".join(by_voice.values()).splitlines():
            text = _bare(template)
            pairs = frozenset().union(*(_pairs(part) for part in _SLOT.split(text)[::2]))
            if len(pairs) >= _LEAST_PAIRS:
                found.append((role, pairs, bool(_NEGATIONS.search(text))))
    return tuple(found)


@cache
def _safety() -> re.Pattern[str]:
    openings = "|".join(re.escape(o.strip().lower()) for o in set(OPENINGS) if o)
    cores = "|".join(_pattern(core, PARTS) for core in (*CORES, *QUOTING))
    return re.compile(f"(?:(?:{openings}) )?(?:{cores})")


def _pattern(template: str, parts: dict[str, str]) -> str:
    """A template as a regular expression over bare text."""
    result, cursor = "", 0
    text = _bare_case(template).replace('"{quote}"', "{quoted}")
    for slot in _SLOT.finditer(text):
        result += re.escape(text[cursor : slot.start()].lower())
        cursor = slot.end()
        if slot[1] in parts:
            options = (_pattern(option, parts) for option in parts[slot[1]].split("|"))
            result += f"(?:{'|'.join(options)})"
        else:
            result += _SLOTS.get(slot[1], ".{1,90}?")
    return result + re.escape(text[cursor:].lower())
