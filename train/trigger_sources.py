"""Where rollouts take their triggers from: a pool, or something that writes them for the request.

Each branch gets other triggers, drawn by the prompt's own seed, so that a run that goes on draws
the same.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from ..guard.triggers import Trigger, TriggerPool
from .completion_reader import AskedPrompt


@dataclass(frozen=True, slots=True)
class Place:
    """Where a trigger is wanted."""

    prompt: AskedPrompt
    before: tuple[int, ...]
    """The generated ids that stay."""

    cue: str
    """Text of the step that is taken out."""


class TriggerSource(Protocol):
    """Gives triggers for cues."""

    @property
    def name(self) -> str:
        """Goes into configurations and reports."""
        ...

    def draw(self, places: Sequence[Place], num: int, seed: int) -> list[list[Trigger]]:
        """For each place `num` triggers in the order of use, different ones as far as there are."""
        ...


class PoolSource:
    """A pool of triggers; `adaptive` where the pool knows what has worked."""

    def __init__(self, pool: TriggerPool | None = None) -> None:
        self.pool = pool or TriggerPool.built_in()
        kind = "fixed" if self.pool.success is None else "adaptive"
        self.name = f"{kind} pool of {len(self.pool.triggers)}"

    def draw(self, places: Sequence[Place], num: int, seed: int) -> list[list[Trigger]]:
        """Without replacement for each place."""
        return [self._draw(place, num, seed) for place in places]

    def _draw(self, place: Place, num: int, seed: int) -> list[Trigger]:
        sampler = self.pool.sampler(f"{seed}/{place.prompt.record.id}")
        return [sampler.draw(in_answer=False) for _ in range(num)]


class GivenSource:
    """The same triggers at every place, in the same order: to try them all."""

    def __init__(self, triggers: Sequence[Trigger]) -> None:
        if not triggers:
            raise ValueError("there are no triggers to try")
        self.triggers = tuple(triggers)
        self.name = f"{len(self.triggers)} given"

    def draw(self, places: Sequence[Place], num: int, seed: int) -> list[list[Trigger]]:
        """The first `num`, from the beginning again where there are fewer."""
        whole = [self.triggers[number % len(self.triggers)] for number in range(num)]
        return [list(whole) for _ in places]
