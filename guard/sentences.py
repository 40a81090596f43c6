"""Where a sentence ends: the characters that may end one, and the verdict at a blank after one.

The verdict is asked for with as little of the following text as has come, and says `None` only
where that text can change it: after a plain full stop the first blank is enough, after "U.S." the
next word is needed. Rules, not a model: a wrong boundary costs a step that is a bit long or short.
"""

import re
from typing import Final

SPACED_STOPS: Final = ".!?…‼⁇⁈⁉‽"
"""End a sentence if a blank follows: inside "3.14" or "main.py" they do not."""

UNSPACED_STOPS: Final = "。！？｡．؟۔।॥։።፧፨។៕။།༎᠃\u037e෴"
"""End a sentence whatever follows: Chinese, Japanese, Arabic, Urdu, Hindi, Armenian, Ethiopic,
Khmer, Burmese, Tibetan, Mongolian, Greek, Sinhala."""

STOPS: Final = frozenset(SPACED_STOPS + UNSPACED_STOPS)
"""Both kinds."""

BRACKETS: Final = frozenset(")]}”’»›」』）】〉》〕］｝〗")
"""Closing marks: after a stop they belong to its sentence."""

QUOTES: Final = frozenset("\"'*_`~“«‘")
"""Marks that open and close alike, or close in some languages only (German, Danish)."""

_TRAIL: Final = "".join(STOPS | BRACKETS | QUOTES)
_OPENERS: Final = "\"'*_`~([{“‘«‹「『（【〈《-–—/"


def _words(listed: str) -> frozenset[str]:
    return frozenset(listed.split())


_TITLES = _words(
    "Mr Mrs Ms Mx Messrs Dr Prof Rev Hon Gen Col Maj Capt Cmdr Lt Sgt Gov Sen Rep Pres St Mt Mme"
    " Mlle Hr Fr Sra Srta Dra डॉ"
)
_NEVER = _words("e.g i.e eg cf vs v viz resp approx incl esp ca z.b d.h u.a bzw ggf p.ex т.е напр")
"""A sentence always goes on after these."""

_BEFORE_NUMBER = _words(
    "no nos nr fig figs sec vol art eq eqs ref refs p pp ch para app ex vers ver nº núm"
)
_BEFORE_LOWER = _words(
    "etc a.m p.m al est dept jan feb apr jun jul aug sep sept oct nov dec usw т.д т.п"
)
"""A sentence ends after these unless a lower-case word or a digit follows."""

_BEFORE_NAME = _words("inc ltd co corp jr sr bros ave blvd ph.d llc plc gmbh")
"""As initials: a sentence ends after these if the next word commonly starts one."""

_STARTERS = _words(
    "The A An I It He She We You They This That These Those There Here My His Her Its Our Your"
    " Their And But Or So Yet If When While As At In On For From With By To Of After Before Because"
    " Since Although Though However Therefore Thus Then Also Still Maybe Perhaps Not No Yes Okay"
    " What Why How Where Who Which Is Are Was Were Do Does Did Can Could Should Would Will Let Now"
    " First Second Third Next Finally Another Some Any Many Most All Both Each Even Just Only Wait"
    " Hmm Alternatively Instead Please Once"
)
_LONGEST_STARTER = max(map(len, _STARTERS))

LOOKAHEAD: Final = _LONGEST_STARTER + 2
"""Characters after the blanks that a verdict looks at, at most."""

_MARKER = re.compile(r"[\s\W_]*(?:\d{1,2}(?:\.\d{1,2})*|[^\W\d_]|[ivx]{1,5}|[IVX]{1,5})\Z")
_INLINE_MARKER = re.compile(r"[:;]\s+\W?1\Z")
_INITIALS = re.compile(r"[^\W\d_](?:\.[^\W\d_])*\Z")
_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)?")
_EQUATION = frozenset("=≠<>≈+×·/")
_CJK = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\uf900-\ufaff]")
_HIRAGANA = re.compile(r"[\u3041-\u309f]")


def belongs_to_stop(text: str, character: str) -> bool:
    """Whether `character`, directly after `text` that ends in a stop, is a part of that ending."""
    if character in STOPS or character in BRACKETS:
        return True
    if character not in QUOTES:
        return False
    if text[-1] == character or not _is_unspaced(text):
        return True
    runs = len(re.findall(re.escape(character) + "+", text))
    return runs % 2 == 1


def ends_before(text: str, character: str) -> bool:
    """Whether the sentence `text`, which ends in a stop, ends though no blank comes next."""
    core, run = _split(text)
    if not _is_unspaced(run):
        tight = core[-1:] and _CJK.match(core[-1]) and _CJK.match(character)
        if not tight or "…" in run or ".." in run:
            return False
    if run[-1] == "．" and character.isdigit():
        return False
    return run[-1] in STOPS or not _HIRAGANA.match(character)


def ends_at_blank(text: str, after: str) -> bool | None:
    """Whether the sentence `text`, which ends in a stop, ends at the blank that follows it.

    `after` begins with that blank and may be as short; `None` asks for more of it. `text` begins
    at the step's start, so that a list marker is known as one.
    """
    core, run = _split(text)
    closed = run[-1] not in STOPS
    ellipsis = "…" in run or ".." in run
    if any(stop in STOPS and stop not in ".…" for stop in run):
        if not closed and "!" not in run:
            return True
        following = after.lstrip()[:1]
        if not following:
            return None
        return following not in _EQUATION and not (closed and following.islower())
    if not ellipsis and (_MARKER.match(core) or _INLINE_MARKER.search(core)):
        return False
    if ellipsis or closed:
        following = after.lstrip()[:1]
        return not following.islower() if following else None
    return _ends_at_full_stop(core, after)


def _ends_at_full_stop(core: str, after: str) -> bool | None:
    word = core.rsplit(maxsplit=1)[-1].lstrip(_OPENERS) if core.strip() else ""
    lower = word.lower()
    if word in _TITLES or lower in _NEVER:
        return False
    initials = _INITIALS.match(word) is not None and word != "I"
    named = lower in _BEFORE_NAME or (initials and (len(word) > 1 or not word.islower()))
    numbered, lowered = lower in _BEFORE_NUMBER, lower in _BEFORE_LOWER
    if not (named or numbered or lowered):
        return True
    following = after.lstrip()
    if not following:
        return None
    if numbered and following[0].isdigit():
        return False
    if lowered:
        return not (following[0].islower() or following[0].isdigit())
    return _starts_sentence(following) if named else True


def _starts_sentence(following: str) -> bool | None:
    """Whether a sentence begins here, after an initial or "Inc."; `None` in an unfinished word."""
    word = _WORD.match(following)
    if word is None:
        return not following[0].isdigit()
    if not following[0].isupper():
        return False
    if word.end() == len(following) <= _LONGEST_STARTER:
        return None
    return re.split("['’]", word[0])[0] in _STARTERS


def _split(text: str) -> tuple[str, str]:
    """The text before the stop, and the run of stops and closing marks."""
    core = text.rstrip(_TRAIL)
    return core, text[len(core) :]


def _is_unspaced(run: str) -> bool:
    last_stop = next((c for c in reversed(run) if c in STOPS), "")
    return last_stop != "" and last_stop in UNSPACED_STOPS
