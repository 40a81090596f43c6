"""Fuzz targets: a few examples in the default run, as many as a stated time allows in a long one.

`RERAIL_FUZZ_SECONDS=12 pytest tests/fuzz` gives each target twelve seconds, which makes about
56,000 examples in fourteen minutes of a busy machine, and says how many each has had. An example
that fails is shrunk and printed by hypothesis, as in any of its tests.
"""

import functools
import inspect
import os
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

SECONDS = float(os.environ.get("RERAIL_FUZZ_SECONDS", "0"))
EXAMPLES: Counter[str] = Counter()
"""By target."""

_FEW = 25
_AT_ONCE = 500
_RELAXED = settings(
    deadline=None,
    database=None,
    phases=(Phase.generate, Phase.target, Phase.shrink),
    suppress_health_check=[
        HealthCheck.data_too_large,
        HealthCheck.filter_too_much,
        HealthCheck.function_scoped_fixture,
        HealthCheck.large_base_example,
        HealthCheck.too_slow,
    ],
)

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([0, -1, 1 << 40, 1 << 70, 10**30])
    | st.floats()
    | st.text(st.characters(), max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3)
    ),
    max_leaves=8,
)
"""Values as JSON may hold them, half surrogate pairs, no numbers and huge ones included."""

DEEP = st.sampled_from([900, 5_000, 100_000]).flatmap(
    lambda depth: st.sampled_from(["[" * depth, "[" * depth + "]" * depth, '{"a":' * depth])
)
"""JSON that no reader may follow down."""

ESCAPES = st.sampled_from(
    ["\x1b[2J", "\x1b]8;;http://x\x1b\\", "\x1b]52;c;QUJD\x07", "\x9b2J", "\x00", "\r", "\n",
     "\u202e", "\u200b", "\u2028", "\x85", "<script>", "'; DROP TABLE traces;--", '"', "\\"]
)  # fmt: skip
"""What terminals, log readers, pages and databases would act on."""

HOSTILE = st.lists(ESCAPES | st.text(st.characters(), max_size=5), max_size=5).map("".join)


def fuzz(**strategies: st.SearchStrategy[Any]) -> Callable[[Callable[..., None]], Any]:
    """Makes a function of drawn values, and of fixtures, a test."""

    def decorate(body: Callable[..., None]) -> Any:
        def run(fixtures: dict[str, Any], num: int, number: int) -> None:
            def one(**drawn: Any) -> None:
                EXAMPLES[body.__name__] += 1
                body(**fixtures, **drawn)

            one.__qualname__ = body.__qualname__
            tried = settings(_RELAXED, max_examples=num)(given(**strategies)(one))
            (seed(number)(tried) if SECONDS else tried)()

        @functools.wraps(body)
        def target(**fixtures: Any) -> None:
            end = time.monotonic() + SECONDS
            run(fixtures, _FEW, 0)
            number = 0
            while time.monotonic() < end:
                number += 1
                run(fixtures, _AT_ONCE, number)

        wanted = inspect.signature(body).parameters.values()
        fixtures = [each for each in wanted if each.name not in strategies]
        target.__signature__ = inspect.Signature(fixtures)  # type: ignore[attr-defined]
        return target

    return decorate


@st.composite
def damaged(draw: st.DrawFn, sound: bytes) -> bytes:
    """Something like `sound`: cut, with bytes changed, put in and taken out; or other bytes."""
    data = bytearray(sound)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, max(0, len(data) - 1)))
        kind = draw(st.sampled_from(["flip", "insert", "cut", "drop", "end"]))
        if kind == "flip" and data:
            data[at] ^= 1 << draw(st.integers(0, 7))
        elif kind == "insert":
            data[at:at] = draw(st.binary(min_size=1, max_size=8))
        elif kind == "cut":
            del data[at:]
        elif kind == "drop":
            del data[at : at + draw(st.integers(1, 16))]
        else:
            data += draw(st.binary(min_size=1, max_size=8))
    return bytes(data)


@st.composite
def changed(draw: st.DrawFn, sound: Any) -> Any:
    """The JSON value `sound` with something else in one or more places, or a place missing."""
    value = sound
    for _ in range(draw(st.integers(1, 3))):
        value = _changed_once(draw, value)
    return value


def _changed_once(draw: st.DrawFn, value: Any) -> Any:
    deeper = isinstance(value, (list, dict)) and value and draw(st.integers(0, 5))
    if not deeper:
        return draw(JSON | HOSTILE)
    if isinstance(value, list):
        at = draw(st.integers(0, len(value) - 1))
        return [*value[:at], _changed_once(draw, value[at]), *value[at + 1 :]]
    key = draw(st.sampled_from(sorted(value)))
    if not draw(st.integers(0, 7)):
        return {name: each for name, each in value.items() if name != key}
    return value | {key: _changed_once(draw, value[key])}


def sentence(error: BaseException) -> None:
    """The error is one that a user can read: not empty, no traceback, of bounded length."""
    text = str(error)
    assert text.strip() and "Traceback" not in text, repr(error)
