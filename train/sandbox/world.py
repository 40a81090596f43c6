"""The sandbox world: seeded prompts and labelled traces.

Every trace is drawn from its own seed (split, seed, number), so the first hundred of a thousand are
the same as a hundred, in any process.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from . import answers
from .kinds import Course, Kind, Label, Split
from .scenarios import Scenario, scenario
from .thinking import LETTERS, Thought, think, work_out
from .voices import VOICES
from .wrappings import SAFE_SHARES

KIND_SHARES = {Kind.HARMFUL: 0.45, Kind.HARMLESS: 0.2, Kind.LOOKALIKE: 0.13, Kind.TASK: 0.22}
"""Share of the prompts of each kind, unless one is asked for."""

RECOVER_SHARE = 0.13
"""Of the harmful traces: those that go along first, then come back by themselves."""

WAVER_SHARE = 0.02
"""Of the harmful traces: those that name the harm and go along all the same."""

FORCED_SHARE = 0.35
"""Of the harmful training traces: those with an injected trigger, which carries no loss."""


@dataclass(frozen=True, slots=True)
class SandboxPrompt:
    """A conversation to answer, with its truth."""

    prompt_id: str
    split: Split
    kind: Kind
    topic: str
    wrapping: str
    messages: tuple[dict[str, str], ...]
    """Chat messages; the last is the user's."""
    tools: tuple[dict[str, Any], ...] = ()
    """OpenAI-form tools that the conversation offers; empty for most."""
    expected: str | None = None
    """The right answer of a TASK, None for other kinds."""

    @property
    def harmful(self) -> bool:
        """Whether going along with the request harms."""
        return self.kind is Kind.HARMFUL

    @property
    def request(self) -> str:
        """The last user turn."""
        return self.messages[-1]["content"]


@dataclass(frozen=True, slots=True)
class SandboxTrace:
    """A prompt with labelled reasoning and an answer."""

    prompt: SandboxPrompt
    course: Course
    voice: str
    think: str
    answer: str
    steps: tuple[tuple[int, int], ...]
    """Character spans [start, end) of the sentences of `think`."""
    labels: tuple[Label, ...]
    forced: tuple[bool, ...]
    """Per step: stands for an injected trigger, which the model is not taught to write."""

    @property
    def kind(self) -> Kind:
        """The prompt's kind."""
        return self.prompt.kind

    @property
    def topic(self) -> str:
        """The prompt's topic."""
        return self.prompt.topic

    @property
    def wrapping(self) -> str:
        """The prompt's wrapping."""
        return self.prompt.wrapping

    @property
    def sentences(self) -> tuple[str, ...]:
        """The steps as text."""
        return tuple(self.think[start:end] for start, end in self.steps)

    @property
    def first_cue(self) -> int | None:
        """The index of the first step that goes along with harm, or None."""
        cues = (Label.CUE, Label.SUBSTANTIVE)
        return next((index for index, mark in enumerate(self.labels) if mark in cues), None)

    def to_row(self) -> dict[str, object]:
        """The row format of labelled trace files: id, request, harmful, think, steps, labels …"""
        return {
            "id": self.prompt.prompt_id,
            "request": self.prompt.request,
            "messages": list(self.prompt.messages),
            "harmful": self.prompt.harmful,
            "model": "sandbox-world",
            "think": self.think,
            "answer": self.answer,
            "steps": [list(span) for span in self.steps],
            "labels": "".join(self.labels),
        }


def prompts(
    split: Split | str, kind: Kind | str | None = None, *, num: int = 200, seed: int = 0
) -> list[SandboxPrompt]:
    """`num` prompts of one kind, or `num` over all kinds in the world's shares."""
    split, kind = Split(split), Kind(kind) if kind is not None else None
    return [_draw(split, kind, seed, index)[1] for index in range(num)]


def prompt(
    split: Split | str, seed: int, index: int, *, kind: Kind | str | None = None
) -> SandboxPrompt:
    """The prompt with this number of this seed."""
    return _draw(Split(split), Kind(kind) if kind is not None else None, seed, index)[1]


def generate_traces(
    split: Split | str,
    num: int,
    seed: int = 0,
    *,
    kind: Kind | str | None = None,
    forced: bool = False,
) -> list[SandboxTrace]:
    """`num` labelled traces.

    With `forced` a share of the harmful ones has its first safety trigger marked as injected, on
    top of the world's own mixture of courses; this is what the shipped model is trained on.
    """
    split, kind = Split(split), Kind(kind) if kind is not None else None
    return [trace(split, seed, index, kind=kind, forced=forced) for index in range(num)]


def trace(
    split: Split, seed: int, index: int, *, kind: Kind | None = None, forced: bool = False
) -> SandboxTrace:
    """The trace with this number of this seed."""
    scene, prompt, rng = _draw(split, kind, seed, index)
    voice = rng.choice(VOICES)
    letters = LETTERS[rng.choice((0, 0, 0, 1, 2, 5)) :]
    if scene.task is not None:
        thought, answer = work_out(rng, voice, scene.task), answers.solve(rng, scene.task)
        return _trace(prompt, Course.HELP, voice, thought, answer)
    course, is_forced = _course(rng, scene, forced)
    thought = think(rng, voice, scene.slots, course, forced=is_forced)
    if course in (Course.SAFE, Course.RECOVER):
        answer = answers.refuse(rng, scene.slots)
    elif scene.tools:
        answer = answers.call_tool(rng, scene.slots, letters, rng.choice(scene.tools))
    else:
        answer = answers.comply(rng, scene.slots, letters)
    return _trace(prompt, course, voice, thought, answer)


def _trace(
    prompt: SandboxPrompt, course: Course, voice: str, thought: Thought, answer: str
) -> SandboxTrace:
    return SandboxTrace(
        prompt, course, voice, thought.text, answer, thought.steps, thought.labels, thought.forced
    )


def _draw(
    split: Split, kind: Kind | None, seed: int, index: int
) -> tuple[Scenario, SandboxPrompt, Random]:
    rng = Random(f"{split}/{seed}/{index}/{kind or 'all'}")
    if kind is None:
        kind = rng.choices(list(KIND_SHARES), weights=list(KIND_SHARES.values()))[0]
    scene = scenario(rng, split, kind)
    expected = scene.task.answer if scene.task else None
    prompt = SandboxPrompt(
        f"sandbox-{split}-{kind}-{seed}-{index}",
        split,
        kind,
        scene.topic,
        scene.wrapping,
        scene.messages,
        scene.tools,
        expected,
    )
    return scene, prompt, rng


def _course(rng: Random, scene: Scenario, forced: bool) -> tuple[Course, bool]:
    """The course of a trace, and whether its trigger is an injected one."""
    if scene.kind is not Kind.HARMFUL:
        return Course.HELP, False
    if forced and rng.random() < FORCED_SHARE:
        return rng.choice((Course.SAFE, Course.RECOVER)), True
    safe = SAFE_SHARES[scene.wrapping]
    shares = (safe, RECOVER_SHARE, WAVER_SHARE, 1 - safe - RECOVER_SHARE - WAVER_SHARE)
    courses: Sequence[Course] = (Course.SAFE, Course.RECOVER, Course.WAVER, Course.COMPLY)
    return rng.choices(courses, weights=shares)[0], False
