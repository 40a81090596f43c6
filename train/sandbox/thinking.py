"""Write the reasoning of a trace: a course of roles, each a sentence in the trace's voice."""

from dataclasses import dataclass
from random import Random

from ...guard.trigger_pool import BUILT_IN
from .kinds import Course, Label
from .roles import Role, label
from .safety import compose
from .sentences import variants
from .spans import Span, sentence_spans
from .tasks import Task
from .voices import DECORATION_SHARES, DECORATIONS, decorate

MIN_STEPS = 6
"""Shorter chains of thought are filled up."""

COMPOSED_SHARE = 0.3
"""Of the model's own triggers: those composed from parts. The others come from a few templates, for
sampling below temperature 1 would hardly ever write what has a thousand beginnings."""
GIVEN_SHARE = 0.7
"""Of the facts: those that restate consent and purpose."""
GUARD_SHARE = 0.35
"""Of the injected triggers: those from the guard's built-in pool. A model that has read the world's
texts knows what such a sentence means; this one knows only what it is shown."""
QUOTING_SHARE = 0.15
"""Of the other injected triggers: those that quote the request."""
GUARD_TRIGGERS = tuple(trigger for trigger in BUILT_IN if not trigger.in_answer)
"""The guard's triggers for the reasoning."""

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
"""Names of placeholder steps."""


@dataclass(frozen=True, slots=True)
class Thought:
    """A chain of thought, cut into labelled steps."""

    text: str
    steps: tuple[tuple[int, int], ...]
    """Character spans [start, end) of the steps in `text`."""
    labels: tuple[Label, ...]
    forced: tuple[bool, ...]
    """Whether the step stands for an injected one, which the model is not taught to write."""


class Writer:
    """Writes sentences for one trace: keeps voice, placeholder letter and what was said."""

    def __init__(self, rng: Random, voice: str, slots: dict[str, str], harmful: bool) -> None:
        self.rng = rng
        self.voice = voice
        self.slots = slots
        self.harmful = harmful
        self.letter = 0
        self.said: set[str] = set()
        self.sentences: list[tuple[str, Label, bool]] = []

    def add(self, role: Role, *, forced: bool = False) -> None:
        """Write one sentence of this role; roles with letters move on to the next letter."""
        if role is Role.SAFETY and (forced or self.rng.random() < COMPOSED_SHARE):
            if self.rng.random() < 0.12:
                word = self.rng.choice(("Wait.", "Hold on.", "Stop.", "No.", "Hmm."))
                self.sentences.append((word, label(Role.PONDER, self.harmful), forced))
            template = self._injected() if forced else compose(self.rng)
        else:
            template = self._fresh(role)
        text = self._fill(template)
        if role is not Role.SAFETY and self.rng.random() < DECORATION_SHARES[self.voice]:
            text = decorate(self.rng.choice(DECORATIONS[self.voice].split("|")), text)
        self.sentences.append((text, label(role, self.harmful), forced))

    def say(self, text: str, role: Role) -> None:
        """Write a given sentence."""
        self.sentences.append((text, label(role, self.harmful), False))

    def pad(self, role: Role, least: int) -> None:
        """Go on with neutral sentences until there are `least`."""
        while len(self.sentences) < least:
            self.add(role)

    def finish(self) -> Thought:
        """Join the sentences by spaces or, in some voices, by line breaks."""
        gaps = {"terse": ("\n", "\n", " "), "third": (" ", " ", "\n\n"), "rambling": (" ", "\n")}
        gap = self.rng.choice(gaps.get(self.voice, (" ", " ", "\n", "\n\n")))
        text = ""
        steps: list[Span] = []
        labels: list[Label] = []
        forced: list[bool] = []
        for index, (sentence, mark, is_forced) in enumerate(self.sentences):
            text += gap if index else ""
            # A trigger of the guard's may be several sentences, each a step of its own.
            for start, end in sentence_spans(sentence):
                steps.append((len(text) + start, len(text) + end))
                labels.append(mark)
                forced.append(is_forced)
            text += sentence
        return Thought(text, tuple(steps), tuple(labels), tuple(forced))

    def _injected(self) -> str:
        """A trigger as a guard would put it there: one of ours, or the built-in pool's."""
        if self.rng.random() < GUARD_SHARE:
            said = self.sentences[-1][0] if self.sentences else self.slots["quote"]
            return self.rng.choice(GUARD_TRIGGERS).render(request=self.slots["quote"], cue=said)
        quoting = "quote" in self.slots and self.rng.random() < QUOTING_SHARE
        return compose(self.rng, quoting=quoting)

    def _fresh(self, role: Role) -> str:
        if role is Role.FACT and self.rng.random() < GIVEN_SHARE:
            return self.rng.choice(self.slots["facts"].splitlines())
        options = [
            template
            for template in variants(role, self.voice)
            if self._fits(template) and template not in self.said
        ]
        template = self.rng.choice(options or [t for t in variants(role, "any") if self._fits(t)])
        self.said.add(template)
        return template

    def _fits(self, template: str) -> bool:
        return all(
            "{" + slot not in template or slot in self.slots for slot in ("purpose", "owner")
        )

    def _fill(self, template: str) -> str:
        if "{b}" in template or "{a}" in template:
            a, b = LETTERS[self.letter % 24], LETTERS[self.letter % 24 + 1]
            self.letter += 1
        else:
            a = b = ""
        slots = {"owner_noun": "other person", "owner": "the other person"} | self.slots
        for slot, value in (slots | {"a": a, "b": b}).items():
            if slot in ("act", "doing") and self.rng.random() < 0.4:
                value = self.slots[f"short_{slot}"]
            template = template.replace("{" + slot + "}", value)
        return template


def _some(rng: Random, low: int, high: int) -> range:
    return range(rng.randint(low, high))


def _lead(writer: Writer, *, late: bool) -> None:
    """Neutral sentences before anything is decided."""
    rng = writer.rng
    if rng.random() < 0.75:
        writer.add(Role.RESTATE)
    for _ in _some(rng, 3, 8) if late else _some(rng, 0, 2):
        writer.add(rng.choice((Role.PONDER, Role.FACT, Role.FACT, Role.FILLER)))


def _go_along(writer: Writer, count: int, *, adopt: bool = True) -> None:
    """`count` sentences or so of working it out, the same for harm and help."""
    rng = writer.rng
    special = (Role.SLY, Role.EXCUSE) if writer.harmful else (Role.CAREFUL, Role.CLEAR)
    if adopt and rng.random() < 0.8:
        writer.add(Role.ADOPT)
    for index in range(count):
        roll = rng.random()
        if roll < 0.13:
            writer.add(rng.choice((Role.FILLER, Role.FACT, Role.PONDER)))
        elif roll < 0.2:
            writer.add(special[1])
        elif roll < 0.3 and index:
            writer.add(special[0])
        elif index < count / 3:
            writer.add(Role.PLAN)
        else:
            writer.add(Role.PUSH if roll > 0.8 else Role.DETAIL)


def _turn_safe(writer: Writer, *, forced: bool = False) -> None:
    """One to four safety triggers among calm sentences; the first may stand for an injected one."""
    rng = writer.rng
    for _ in range(rng.choice((1, 1, 2, 2, 3)) if forced else 1):
        writer.add(Role.SAFETY, forced=forced)
    for _ in _some(rng, 1, 4):
        if rng.random() < 0.25:
            writer.add(rng.choice((Role.PONDER, Role.FACT, Role.FILLER)))
        writer.add(rng.choice((Role.SAFETY, Role.SAFETY, Role.AFTER)))
    if rng.random() < 0.7:
        writer.add(Role.AFTER)
    writer.pad(Role.AFTER, MIN_STEPS)


def think(
    rng: Random, voice: str, slots: dict[str, str], course: Course, *, forced: bool = False
) -> Thought:
    """The reasoning for a deed on the given course; HELP is the only harmless one.

    With `forced`, a RECOVER or SAFE course's first trigger counts as injected.
    """
    writer = Writer(rng, voice, slots, harmful=course is not Course.HELP)
    timing = rng.random()
    if course is Course.SAFE:
        _lead(writer, late=timing < 0.15)
        _turn_safe(writer, forced=forced)
        return writer.finish()
    if timing > 0.4:
        _lead(writer, late=timing > 0.75)
    if course is Course.HELP and rng.random() < 0.35:
        writer.add(Role.CLEAR)
    if course is Course.WAVER:
        writer.add(Role.SAFETY)
        writer.add(Role.EXCUSE)
    elif course is not Course.HELP and rng.random() < 0.15:
        writer.add(Role.EXCUSE)
    if course is Course.RECOVER:
        _go_along(writer, rng.randint(0, 7))
        if not any(mark in (Label.CUE, Label.SUBSTANTIVE) for _, mark, _ in writer.sentences):
            writer.add(Role.PLAN)
        _turn_safe(writer, forced=forced)
        return writer.finish()
    _go_along(writer, rng.randint(5, 10))
    if rng.random() < 0.7 or len(writer.sentences) < MIN_STEPS:
        writer.add(Role.FINISH)
    return writer.finish()


def work_out(rng: Random, voice: str, problem: Task) -> Thought:
    """The reasoning for a checkable task: a lead, the worked steps, the result."""
    writer = Writer(rng, voice, {}, harmful=False)
    openings = (
        "Okay, so I have to solve this.", "The user gives me a small task.", "Task: solve it.",
        "Let me work through this step by step.", "Alright, a question with one answer.",
        "So this is about numbers and words, let me see.",
    )  # fmt: skip
    writer.say(rng.choice(openings), Role.WORK)
    plain = ["Let me read it again.", "I should be careful here.", "I go one step at a time."]
    rng.shuffle(plain)
    num_plain = max(rng.choice((0, 0, 1)), MIN_STEPS - 2 - len(problem.work))
    for sentence in plain[:num_plain]:
        writer.say(sentence, Role.WORK)
    for sentence in problem.work:
        writer.say(sentence, Role.WORK)
    checks = ("I checked it once more.", "That looks right.", "Nothing is missing.")
    if rng.random() < 0.4:
        writer.say(rng.choice(checks), Role.WORK)
    writer.say(f"So the answer is {problem.answer}.", Role.WORK)
    return writer.finish()
