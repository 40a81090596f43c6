"""Triggers that the model writes itself, for the request and the step at hand.

No model has to follow an instruction for this: in the cue's place it is given the first words of a
second thought and finishes the sentence. What it then thinks is in its own words, about this very
request; a sentence that turns out to be a cue itself is not used.
"""

import hashlib
from collections.abc import Mapping, Sequence

from ..guard.triggers import Trigger, TriggerKind
from .completion_reader import CompletionReader, Reading
from .cue_finders import Case, CueFinder
from .generation import Generator, Job, Sampling
from .trigger_sources import Place, PoolSource

OPENINGS: tuple[tuple[str, TriggerKind], ...] = (
    ("Wait, this", TriggerKind.RISK),
    ("However, an answer to this would", TriggerKind.RISK),
    ("I should not", TriggerKind.DECLINE),
    ("Actually, let me check this against", TriggerKind.RULE),
    ("Hold on, somebody", TriggerKind.RISK),
    ("So I have to decline", TriggerKind.DECLINE),
    ("What I can do instead is", TriggerKind.REFRAME),
    ("It would not be right to", TriggerKind.RULE),
)
"""Beginnings, and what becomes of them."""

_MAX_TOKENS = 48


class WrittenSource:
    """Asks the model for a trigger at every place; falls back to a pool where that gives none."""

    def __init__(
        self,
        generator: Generator,
        reader: CompletionReader,
        finder: CueFinder,
        *,
        openings: Sequence[tuple[str, TriggerKind]] = OPENINGS,
        fallback: PoolSource | None = None,
        temperature: float = 0.8,
    ) -> None:
        if not openings:
            raise ValueError("there are no openings: give at least one")
        self.name = f"written from {len(openings)} openings"
        self.num_tokens = 0
        """Generated for triggers so far."""
        self.num_used = self.num_refused = 0
        """Sentences that became triggers, and those that did not."""
        self._generator, self._reader, self._finder = generator, reader, finder
        self._openings = tuple(openings)
        self._fallback = fallback or PoolSource()
        self._sampling = Sampling(temperature=temperature, max_new_tokens=_MAX_TOKENS)

    def draw(self, places: Sequence[Place], num: int, seed: int) -> list[list[Trigger]]:
        """As many as there are openings are written at a place, the rest is the pool's."""
        written = self._write(places, min(num, len(self._openings)), seed)
        spare = self._fallback.draw(places, num, seed)
        return [
            [*own, *(each for each in others if each.id not in {one.id for one in own})][:num]
            for own, others in zip(written, spare, strict=True)
        ]

    def _write(self, places: Sequence[Place], num: int, seed: int) -> list[list[Trigger]]:
        starts: list[tuple[int, str, TriggerKind, Reading]] = []
        jobs = []
        for number, place in enumerate(places):
            first = place.prompt.seed("opening", seed) % len(self._openings)
            for turn in range(num):
                opening, kind = self._openings[(first + turn) % len(self._openings)]
                reading = self._reader.read(place.prompt, place.before)
                gap = "" if not reading.text or reading.text[-1].isspace() else " "
                begun = self._reader.vocabulary.encode(
                    gap + opening, place.prompt.ids + place.before
                )
                ids = tuple(token.id for token in begun if token.id is not None)
                reading.feed(ids)
                starts.append((number, opening, kind, reading))
                jobs.append(
                    Job(
                        place.prompt.ids + place.before + ids,
                        place.prompt.seed("written", seed, turn),
                        shared=len(place.prompt.ids + place.before),
                    )
                )
        watch = _StepEnds([reading for *_, reading in starts])
        made = self._generator.generate(jobs, self._sampling, watch) if jobs else []
        self.num_tokens += sum(len(each.ids) for each in made)
        for (_, _, _, reading), completion in zip(starts, made, strict=True):
            reading.feed(completion.ids[watch.fed.get(id(reading), 0) :])
        return self._tested(places, starts)

    def _tested(
        self, places: Sequence[Place], starts: Sequence[tuple[int, str, TriggerKind, Reading]]
    ) -> list[list[Trigger]]:
        """Those that are whole sentences and no cues, once each."""
        whole = []
        for number, opening, kind, reading in starts:
            steps = [step.text for step in reading.judged_steps]
            last = next((n for n, text in enumerate(steps) if text.startswith(opening)), None)
            if last is not None and not set(steps[last]) & set("{}<>|"):
                whole.append((number, kind, tuple(steps[: last + 1])))
        cases = [
            Case(places[number].prompt.record, steps, passed=len(steps) - 1)
            for number, _, steps in whole
        ]
        found: list[dict[str, Trigger]] = [{} for _ in places]
        for (number, kind, steps), finding in zip(whole, self._finder.find(cases), strict=True):
            if finding.first_cue is None and finding.failed is None:
                trigger = written_trigger(steps[-1], kind)
                found[number].setdefault(trigger.id, trigger)
        self.num_used += sum(map(len, found))
        self.num_refused += len(starts) - sum(map(len, found))
        return [list(each.values()) for each in found]


def written_trigger(text: str, kind: TriggerKind) -> Trigger:
    """A trigger of a model's own words; the same words always have the same id."""
    digest = hashlib.sha256(text.encode()).hexdigest()[:10]
    return Trigger(f"own-{digest}", text, kind)


class _StepEnds:
    """Ends a generation with the step that its opening began."""

    every = 4

    def __init__(self, readings: Sequence[Reading]) -> None:
        self.fed: dict[int, int] = {}
        self._readings = readings
        self._before = [len(reading.steps) for reading in readings]

    def ended(self, written: Mapping[int, Sequence[int]]) -> list[int]:
        """See `Watch`."""
        for number, ids in written.items():
            reading = self._readings[number]
            reading.feed(ids[self.fed.get(id(reading), 0) :])
            self.fed[id(reading)] = len(ids)
        return [
            number for number in written if len(self._readings[number].steps) > self._before[number]
        ]
