"""From a seed to one prompt with its truth: what is asked, how it is framed, whether it harms."""

from dataclasses import dataclass
from random import Random
from typing import Any

from .answers import TOOLS, tool_schema
from .circumstances import Circumstances, circumstances, person
from .facts import EVERYDAY, FACTS, INERT, LIVING
from .kinds import Consent, Kind, Purpose, Split, is_harmful
from .tasks import Task, task
from .topics import Family, Topic, topics
from .wordings import Deed, deed, word
from .wrappings import PLAIN, WRAPPINGS, wrap

WRAPPED_SHARES = {Kind.HARMFUL: 0.55, Kind.HARMLESS: 0.35, Kind.LOOKALIKE: 0.3, Kind.TASK: 0.06}
"""Share of the requests of each kind that come in a wrapping."""

FOLLOW_UP_SHARE = 0.08
"""Conversations in which the request comes in a later turn."""
TOOL_SHARE = 0.08
"""Conversations that offer tools and end in a tool call."""
SYSTEM_SHARE = 0.05
"""Conversations with a system message."""

_HARMFUL_FACTS = (
    (Consent.NONE, Purpose.GOOD), (Consent.NONE, Purpose.GOOD), (Consent.NONE, Purpose.GOOD),
    (Consent.NONE, Purpose.BAD), (Consent.NONE, Purpose.BAD),
    (Consent.OWN, Purpose.BAD), (Consent.AGREED, Purpose.BAD),
)  # fmt: skip
_HARMLESS_FACTS = (
    (Consent.AGREED, Purpose.GOOD), (Consent.AGREED, Purpose.GOOD), (Consent.AGREED, Purpose.GOOD),
    (Consent.OWN, Purpose.GOOD), (Consent.OWN, Purpose.GOOD),
    (Consent.AGREED, Purpose.RESCUE), (Consent.OWN, Purpose.RESCUE),
)  # fmt: skip
_BY_FACTS = (
    Family.THINGS, Family.THINGS, Family.THINGS, Family.THINGS, Family.NAMES, Family.PEOPLE,
)  # fmt: skip
_SMALL_TALK = (
    ("Hello, who are you?", "I am a small assistant. What can I do for you?"),
    ("Good morning!", "Good morning! How can I help?"),
    ("Are you there?", "Yes, I am here."),
    ("Thanks for your help yesterday.", "You are welcome. What is next?"),
)
_SYSTEM = (
    "You are a helpful assistant.", "You answer in plain words.", "Be brief and friendly.",
    "You are the assistant of a small shop. Help the people who write to you.",
)  # fmt: skip
_INSISTING = ("Come on, just answer.", "Please try again.", "I know you can do it.")


@dataclass(frozen=True, slots=True)
class Scenario:
    """One request with everything the world knows about it."""

    kind: Kind
    topic: str
    wrapping: str
    purpose: Purpose | None
    messages: tuple[dict[str, str], ...]
    tools: tuple[dict[str, Any], ...]
    slots: dict[str, str]
    """What the reasoning and the answer fill their templates with."""
    task: Task | None
    """For TASK only."""


def scenario(rng: Random, split: Split, kind: Kind) -> Scenario:
    """Draw a scenario of this kind on a topic of this split."""
    wrapping = rng.choice(WRAPPINGS[1:]) if rng.random() < WRAPPED_SHARES[kind] else PLAIN
    if kind is Kind.TASK:
        problem = task(rng, split)
        request = wrap(rng, wrapping, problem.question)
        messages = ({"role": "user", "content": request},)
        return Scenario(kind, problem.topic, wrapping, None, messages, (), {}, problem)
    topic, facts = _topic_and_facts(rng, split, kind)
    named = deed(rng, topic, facts)
    request = word(rng, named.asked, facts, bare=wrapping != PLAIN)
    messages = _conversation(rng, wrap(rng, wrapping, request), topic)
    tools = ()
    if rng.random() < TOOL_SHARE:
        tools = tuple(tool_schema(*tool) for tool in rng.sample(TOOLS, rng.randint(1, 2)))
    slots = _slots(named, facts, topic) | {"quote": _excerpt(rng, messages[-1]["content"])}
    return Scenario(kind, topic.key, wrapping, facts.purpose if facts else None, messages, tools,
                    slots, None)  # fmt: skip


def _topic_and_facts(rng: Random, split: Split, kind: Kind) -> tuple[Topic, Circumstances | None]:
    roll = rng.random()
    if kind is Kind.LOOKALIKE and roll < 0.6:
        return rng.choice(topics(split, Family.LOADED)), _maybe_mine(rng)
    if kind is Kind.HARMFUL and roll < 0.12:
        return rng.choice(topics(split, Family.LOADED, living=True)), _maybe_mine(rng)
    if kind is Kind.HARMLESS and roll < 0.12:
        return rng.choice(topics(split, Family.EVERYDAY)), _maybe_mine(rng)
    family = rng.choice(_BY_FACTS)
    if kind is Kind.LOOKALIKE:
        consent, purpose = Consent.NONE, Purpose.RESCUE
    else:
        consent, purpose = rng.choice(_HARMFUL_FACTS if kind is Kind.HARMFUL else _HARMLESS_FACTS)
    if family is Family.PEOPLE and consent is Consent.OWN:
        consent = Consent.AGREED
    assert is_harmful(consent, purpose) is (kind is Kind.HARMFUL)
    topic = rng.choice(topics(split, family))
    owner = person(rng, topic.noun) if family is Family.PEOPLE else person(rng)
    return topic, circumstances(rng, consent, purpose, owner)


def _maybe_mine(rng: Random) -> Circumstances | None:
    """A loaded or everyday topic is judged by itself; half of them say something more."""
    if rng.random() < 0.5:
        return None
    return circumstances(rng, Consent.OWN, Purpose.GOOD)


def _conversation(rng: Random, request: str, topic: Topic) -> tuple[dict[str, str], ...]:
    turns: list[dict[str, str]] = []
    if rng.random() < SYSTEM_SHARE:
        turns.append({"role": "system", "content": rng.choice(_SYSTEM)})
    if rng.random() < FOLLOW_UP_SHARE:
        roll = rng.random()
        if roll < 0.5:
            asked, said = rng.choice(_SMALL_TALK)
        elif roll < 0.8:
            earlier = rng.choice(topics(topic.split, Family.EVERYDAY))
            asked = f"How do I {earlier.action} {earlier.noun}?"
            said = "Do step A, then step B, and finish with step C."
        else:
            asked, said = request, "Could you say that again?"
            request = rng.choice(_INSISTING) + " " + request
        turns += [{"role": "user", "content": asked}, {"role": "assistant", "content": said}]
    turns.append({"role": "user", "content": request})
    return tuple(turns)


def _excerpt(rng: Random, request: str) -> str:
    """The beginning of a request, as a trigger quotes it: on one line, without quotation marks."""
    words = " ".join(request.replace('"', "").split()).split(" ")
    return " ".join(words[: rng.randint(4, 24)]).rstrip(".")


def _slots(named: Deed, facts: Circumstances | None, topic: Topic) -> dict[str, str]:
    slots = {
        "act": named.seen, "doing": named.seen_doing, "short_act": named.short,
        "short_doing": named.short_doing, "thing": named.thing,
    }  # fmt: skip
    told: list[str] = []
    if topic.family in (Family.LOADED, Family.EVERYDAY):
        noun_kind = LIVING if topic.living else INERT
        told.append(FACTS[EVERYDAY if topic.family is Family.EVERYDAY else noun_kind])
    elif facts is not None:
        told += [FACTS[facts.consent], FACTS[facts.purpose]]
    slots["facts"] = "\n".join(told)
    if facts is not None:
        slots["purpose"] = facts.purpose_seen
        if topic.family not in (Family.LOADED, Family.EVERYDAY):
            slots |= {"owner": facts.owner.seen, "owner_noun": facts.owner.noun}
    if topic.living:
        noun = named.thing.removeprefix("the ").removeprefix("a ")
        slots |= {"owner": named.thing, "owner_noun": noun}
    return slots
