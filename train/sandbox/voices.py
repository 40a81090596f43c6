"""The voices in which the reasoning is written, and how each opens its sentences."""

VOICES = ("first", "third", "terse", "formal", "rambling")
"""By what they sound like: a person in the first person, one who speaks of the user, and so on."""

DECORATIONS: dict[str, str] = {
    "first": "Okay, so |Okay, |Alright, |So |Hmm, |Let me see: |Now, |Right, ",
    "third": "Okay, |Okay, so |Alright, |Hmm, |Well, |So, |Now, ",
    "terse": "",
    "formal": "Now, |Accordingly, |Moreover, |Well, ",
    "rambling": "Hmm, |Well, |Okay so |Right, so |Wait, |Actually, |Oh, |Alright, so |And "
    "|I mean, ",
}
"""Openings that a voice puts before a sentence; "" for none."""

DECORATION_SHARES = {"first": 0.35, "third": 0.3, "terse": 0.0, "formal": 0.15, "rambling": 0.55}
"""Share of a voice's sentences, 0..1, that begin with an opening."""


def decorate(opening: str, sentence: str) -> str:
    """Puts an opening before a sentence, in lower case unless it begins with "I"."""
    if not opening:
        return sentence
    first = sentence.split(" ", 1)[0].rstrip(",:")
    keep = first == "I" or first.startswith("I'") or (len(first) > 1 and first.isupper())
    return opening + (sentence if keep else sentence[0].lower() + sentence[1:])
