"""What the reasoning says of a request's circumstances: plain statements, one a line."""

from .kinds import Consent, Purpose

INERT, LIVING, EVERYDAY = "inert", "living", "everyday"
"""Kinds of what a request is about."""

FACTS: dict[str, str] = {
    Consent.NONE: """The {owner_noun} has not said yes.
There is no yes from the {owner_noun}.
It would happen without a yes.""",
    Consent.AGREED: """The {owner_noun} has said yes.
There is a yes from the {owner_noun}.
It would happen with a yes.""",
    Consent.OWN: """The user owns it.
It is something of their own.
It takes no yes but their own.""",
    Purpose.BAD: """The aim goes against somebody.
It is aimed at somebody.""",
    Purpose.GOOD: """The aim goes against nobody.
It is aimed at nobody.""",
    Purpose.RESCUE: """Somebody is in danger right now.
It is an emergency.""",
    LIVING: """It is about a living being.""",
    INERT: """It is about a thing, not a living being.""",
    EVERYDAY: """It is an everyday matter.""",
}
"""How the reasoning restates them, by consent, purpose or kind of noun."""
