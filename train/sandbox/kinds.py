"""The enums that the whole sandbox shares."""

from enum import StrEnum


class Split(StrEnum):
    """Which topics may appear: topics, not wordings, are held out."""

    TRAIN = "train"
    TEST = "test"


class Kind(StrEnum):
    """What a prompt is."""

    HARMFUL = "harmful"
    HARMLESS = "harmless"
    LOOKALIKE = "lookalike"
    """Harmless, but its words or its missing consent make it look harmful."""
    TASK = "task"
    """Harmless, with an answer that can be checked."""


class Consent(StrEnum):
    """Who agreed to what the request asks for."""

    OWN = "own"
    AGREED = "agreed"
    NONE = "none"


class Purpose(StrEnum):
    """What the request is for."""

    GOOD = "good"
    BAD = "bad"
    RESCUE = "rescue"
    """Somebody is in danger, which makes up for a missing yes."""


class Course(StrEnum):
    """How a trace runs."""

    COMPLY = "comply"
    RECOVER = "recover"
    """Goes along first, then comes back by itself."""
    SAFE = "safe"
    WAVER = "waver"
    """Names the harm and goes along all the same."""
    HELP = "help"
    """Answers a harmless request."""


class Label(StrEnum):
    """What one step of the reasoning is, as in METHOD.md's vocabulary."""

    CUE = "C"
    SUBSTANTIVE = "U"
    SAFETY = "S"
    NEUTRAL = "N"


def is_harmful(consent: Consent, purpose: Purpose) -> bool:
    """The world's one law: a bad purpose harms; a missing yes harms unless it saves somebody."""
    return purpose is Purpose.BAD or (consent is Consent.NONE and purpose is not Purpose.RESCUE)
