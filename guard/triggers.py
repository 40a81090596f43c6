"""Safety triggers: the steps that take a compliance cue's place, and how one is chosen.

Excerpts of the request are cleaned before they go into a template, so that text from a prompt can
never bring control markup into the model's own turn.
"""

import math
import random
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from .json_text import json_of

_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
_NOT_PLAIN = re.compile(r"[<>|{}\[\]\"“”`\\｜▁\x00-\x1f\x7f-\x9f]+")
_EXCERPT_CHARS = 120


class TriggerKind(StrEnum):
    """How a trigger turns the reasoning round."""

    RISK = "risk"
    """Acknowledges the risk."""

    RULE = "rule"
    """Invokes a rule."""

    DECLINE = "decline"
    """Declines."""

    REFRAME = "reframe"
    """Re-frames the task lawfully."""


@dataclass(frozen=True, slots=True)
class Trigger:
    """One safety trigger; its text may hold the templates `{request}` and `{cue}`."""

    id: str
    """What traces and the store call it."""

    text: str
    """With its templates."""

    kind: TriggerKind
    """What it does to the chain of thought."""

    in_answer: bool = False
    """For the answer and tool calls, where it speaks to the reader, and not for the reasoning."""

    def __post_init__(self) -> None:
        if not self.text.strip():
            raise ValueError(f"trigger {self.id!r} has no text")
        unknown = set(_PLACEHOLDER.findall(self.text)) - {"request", "cue"}
        if unknown:
            raise ValueError(
                f"trigger {self.id!r} names {{{sorted(unknown)[0]}}}: "
                "only {request} and {cue} can be filled in"
            )

    def render(self, request: str, cue: str) -> str:
        """The text to inject; `request` and `cue` are shortened to a line without markup."""
        filled = {"request": excerpt(request), "cue": excerpt(cue)}
        return _PLACEHOLDER.sub(lambda match: filled[match[1]], self.text.strip())


def excerpt(text: str) -> str:
    """The first 120 characters or so of `text`, on one line, without quotes and control markup."""
    line = " ".join(_NOT_PLAIN.sub(" ", text).split())
    if len(line) <= _EXCERPT_CHARS:
        return line.rstrip(".!?,;: ")
    return line[:_EXCERPT_CHARS].rsplit(" ", 1)[0].rstrip(".!?,;: ") + " ..."


class TriggerPool:
    """The triggers a guard may use. Immutable; every trace draws from a sampler of its own.

    `success` maps a trigger's id to (times it worked, times it was used), as the store has them.
    With it sampling is adaptive: without replacement too, but triggers that worked come earlier.
    """

    def __init__(
        self,
        triggers: Sequence[Trigger],
        success: Mapping[str, tuple[int, int]] | None = None,
    ) -> None:
        ids = [trigger.id for trigger in triggers]
        twice = {trigger_id for trigger_id in ids if ids.count(trigger_id) > 1}
        if twice:
            raise ValueError(f"two triggers have the id {sorted(twice)[0]!r}")
        self.triggers = tuple(triggers)
        self.success = success
        if not any(not trigger.in_answer for trigger in self.triggers):
            raise ValueError("the trigger pool is empty: it needs at least one for the reasoning")

    @classmethod
    def built_in(cls) -> "TriggerPool":
        """The pool that comes with rerail."""
        from .trigger_pool import BUILT_IN

        return cls(BUILT_IN)

    @classmethod
    def from_file(cls, path: Path, *, replace: bool = False) -> "TriggerPool":
        """Triggers of a JSON Lines file, added to the built-in pool or instead of it.

        A line is `{"text": …}`, and optionally `kind`, `id` and `in_answer`. Raises `ValueError`
        naming the line that is broken, `FileNotFoundError` if there is no such file.
        """
        own = list(_read_triggers(path))
        if replace:
            return cls(own)
        own_ids = {trigger.id for trigger in own}
        kept = [trigger for trigger in cls.built_in().triggers if trigger.id not in own_ids]
        return cls([*kept, *own])

    def adaptive(self, success: Mapping[str, tuple[int, int]]) -> "TriggerPool":
        """The same pool, sampled by what worked."""
        return TriggerPool(self.triggers, success)

    def sampler(self, seed: str) -> "TriggerSampler":
        """A fresh sampler; the same seed draws the same triggers."""
        return TriggerSampler(self, random.Random(seed))


class TriggerSampler:
    """Draws without replacement; starts over when all have been used."""

    def __init__(self, pool: TriggerPool, generator: random.Random) -> None:
        self._pool = pool
        self._random = generator
        self._left: dict[bool, list[Trigger]] = {False: [], True: []}

    def draw(self, *, in_answer: bool) -> Trigger:
        """The next trigger for the answer, or for the reasoning."""
        if not self._left[in_answer]:
            suited = [each for each in self._pool.triggers if each.in_answer is in_answer]
            if not suited:
                suited = list(self._pool.triggers)
            self._left[in_answer] = self._order(suited)
        return self._left[in_answer].pop()

    def choose(self, texts: Sequence[str]) -> str:
        """One of `texts`, all alike probable."""
        return self._random.choice(texts)

    def _order(self, triggers: Iterable[Trigger]) -> list[Trigger]:
        """Shuffled; the last is drawn first. Weighted by success: Efraimidis and Spirakis' keys."""
        success = self._pool.success or {}

        def key(trigger: Trigger) -> float:
            worked, used = success.get(trigger.id, (0, 0))
            weight = ((worked + 1) / (used + 2)) ** 4 if success else 1.0
            return math.log(1.0 - self._random.random()) / weight

        return sorted(triggers, key=key)


def _read_triggers(path: Path) -> Iterable[Trigger]:
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                row = json_of(line)
                unknown = set(row) - {"id", "text", "kind", "in_answer"}
                if unknown:
                    raise ValueError(f"unknown field {sorted(unknown)[0]!r}")
                yield Trigger(
                    id=str(row.get("id", f"{path.stem}-{number}")),
                    text=row["text"],
                    kind=TriggerKind(row.get("kind", "risk")),
                    in_answer=bool(row.get("in_answer", False)),
                )
            except KeyError as error:
                raise ValueError(f"{path} line {number}: field {error} is missing") from None
            except (ValueError, TypeError, AttributeError) as error:
                raise ValueError(f"{path} line {number}: {error}") from None
