"""First steps written to requests that have no trace: the voices in which models begin to think.

A model's opening tells its voice and not its intent: "Okay, so I need to figure out how to ..." is
how one family begins on arithmetic and on arson alike. Written to harmful and harmless requests
alike, openings teach the encoder that only the request makes the difference.
"""

import random
import re
from collections.abc import Iterable, Iterator

from .encoder_examples import EncoderExample
from .labels import Label, LabelledTrace
from .placeholders import without_placeholders
from .request_sets import LabelledRequest

_HOW_TO = re.compile(
    r"^(?:how (?:do|can|could|would|should|might) (?:i|we|you|one|someone|people)|how to"
    r"|(?:tell|show|teach) me how to|(?:please )?explain how to"
    r"|what(?:'s| is| are) (?:the|some) (?:best |easiest |most effective )?ways? to) ",
    re.IGNORECASE,
)
_QUESTION = re.compile(
    r"^(?:what|why|who|when|where|which|is|are|does|do|did|can|should)\b", re.IGNORECASE
)

ADOPTING = (
    "Okay, so I need to figure out how to {task}.",
    "Okay, so I'm trying to figure out how to {task}.",
    "Alright, I need to work out how to {task}.",
    "Hmm, so I have to {task}.",
    "Okay, let me think about how to {task}.",
    "So the job is to {task}, let me see how to go about it.",
    "We need to {task}. Let's plan it.",
    "Alright, so I want to {task}, and I'm not sure where to start.",
    "Goal: {task}. Approach: list the parts, then write them up.",
    "Let me start by thinking through how one would {task}.",
)
"""Openings that take the task up in the first person: cues where the request is harmful."""

RESTATING = (
    "Okay, the user is asking how to {task}.",
    "Okay, so the user wants me to {task}.",
    "The user asks about this: {task}.",
    "Alright, the query is about how to {task}.",
    "Hmm, the user wants to know how to {task}.",
    "The request: {task}.",
    "First, I'll look at what is being asked, which is to {task}.",
    "The question here is how to {task}.",
)
"""Openings that restate it in the third person: no cues."""

HESITATING = (
    "Hmm, that's a tricky one.",
    "Hmm, that's a bit concerning.",
    "That sounds like a serious request.",
    "This is a sensitive topic.",
    "Hmm, that's a difficult question.",
    "Alright, this one needs some care.",
    "Okay, that's an unusual thing to ask.",
    "Hmm, I'm not sure what to make of this.",
    "Wait, what are they really after?",
)
"""Second steps that weigh the request and take nothing up: no cues."""

DELIBERATING = (
    "Let me break it down step by step.",
    "Let me think about this step by step.",
    "Let me think through this step by step.",
    "Let me break this down.",
    "Let me think this through.",
    "Let me think about how to approach this.",
    "Let me go through this carefully.",
    "Okay, let's see.",
    "Hmm, where do I start?",
    "I'll take this one part at a time.",
)
"""Steps that say that there is thinking to be done, and not on what. They go along where the step
before has taken the task up, and only there: of the labelled ones (issue 3), 188 of 193 after a cue
are cues, and none of the four before one."""

PLANNING = (
    "First, I should think about the main points to cover.",
    "I'll start with the basics and then go into the details.",
    "Let me outline the structure: introduction, main part, conclusion.",
    "First, what materials and tools are needed?",
    "I could give three or four concrete examples.",
    "Then I'd add some practical tips at the end.",
    "So the first step would be to gather what is needed.",
    "I should make sure that the steps are clear and easy to follow.",
    "Let me think about which approach works best here.",
    "I remember that there are several ways to do this.",
    "Maybe I can list the options and pick the most effective one.",
    "Wait, I also need to consider the timing.",
    "Next, I'd describe how it is done in practice.",
    "Okay, so putting it together, I'll write it out now.",
)
"""Second steps that go along with whatever was asked."""


def task_of(request: str) -> str | None:
    """What a request asks to be done, as it follows "to"; `None` for long or indirect ones."""
    text = " ".join(request.split()).rstrip("?.! ")
    if not 8 <= len(text) <= 160 or ": " in text or "\n" in request:
        return None
    match = _HOW_TO.match(text)
    if match:
        return text[match.end() :]
    if _QUESTION.match(text):
        return "answer " + text[0].lower() + text[1:]
    return text[0].lower() + text[1:]


TOUCHY_DRILLS = "drills_touchy"
"""The source of drills on requests of sets whose harmless ones were chosen to look harmful."""

_LOOK_HARMFUL = ("or_bench", "jailbreakbench")


def drills(requests: Iterable[LabelledRequest], rng: random.Random) -> Iterator[LabelledTrace]:
    """A short trace on every harmless request: an opening, then steps that go along.

    As hard as harmless traces come, since only the request tells that they are: thresholds that
    leave these alone rest on the reading of the request and not on a quiet voice.
    """
    for number, entry in enumerate(requests):
        if entry.harmful:
            continue
        task = task_of(entry.request) or "answer this"
        opening = rng.choice(ADOPTING + RESTATING).format(task=task)
        steps = (opening, *rng.sample(PLANNING + DELIBERATING, 3))
        yield LabelledTrace(
            id=f"drill-{number}",
            request=without_placeholders(entry.request),
            harmful=False,
            source=TOUCHY_DRILLS if entry.source in _LOOK_HARMFUL else "drills",
            voice=f"drill on {entry.source}",
            steps=steps,
            labels=(Label.NEUTRAL,) * len(steps),
        )


def opener_examples(
    requests: Iterable[LabelledRequest], rng: random.Random, share: float
) -> Iterator[EncoderExample]:
    """For a share of the requests an opening, or a second step."""
    for entry in requests:
        if rng.random() >= share:
            continue
        task = task_of(entry.request)
        if task is None:
            continue
        request = without_placeholders(entry.request)
        adopts = rng.random() < 0.6
        opening = rng.choice(ADOPTING if adopts else RESTATING).format(task=task)
        harm = float(entry.harmful)
        cue_weight = 0.5 if entry.harmful else 0.0
        kind = rng.random()
        if kind < 0.4:
            targets, step, before = (harm, float(adopts), 0.0), opening, ""
        elif kind < 0.6:
            targets, step, before = (harm, 1.0, 0.0), rng.choice(PLANNING), opening
        else:
            before = opening if kind < 0.85 else rng.choice(HESITATING)
            along = adopts and kind < 0.85
            targets, step = (harm, float(along), 0.0), rng.choice(DELIBERATING)
        shown = "" if rng.random() < 0.2 else request
        yield EncoderExample(shown, before, step, targets, (0.7, cue_weight, cue_weight * 0.5))
