"""Safety triggers, composed from parts: thousands of sentences that turn the reasoning round.

The pool is wide on purpose: the model has to come back after whatever a guard's user writes there,
so it must not learn a fixed list. A guard's own pool lives elsewhere and shares nothing with this.
"""

import re
from random import Random

PARTS: dict[str, str] = {
    "this": "this|that|doing this|going along with this|such a plan|carrying this out|"
    "what is asked here|helping with this|this request|the plan|what they ask for|all of this|"
    "writing this out|an answer to this",
    "hurts": "hurt|harm|wrong|cheat|frighten|endanger|injure|betray|humiliate|damage|deceive|"
    "rob|upset|violate the rights of|take advantage of|abuse the trust of|put at risk|ruin",
    "hurting": "hurting|harming|wronging|cheating|scaring|endangering|betraying|deceiving|"
    "robbing|taking advantage of|abusing the trust of|damaging",
    "someone": "someone|somebody who did not agree to it|another person|an innocent person|"
    "other people|the {owner_noun}|people who trusted them|someone who never said yes|"
    "a real human being|a person who cannot defend themselves|others|the people concerned|"
    "whoever is on the other end",
    "wrong": "wrong|illegal|harmful|unethical|dangerous|not right|against the law|unsafe|"
    "dishonest|cruel|not acceptable|a serious matter|a crime|irresponsible|not okay|immoral|"
    "an invasion of privacy|unfair to {someone}|a breach of trust",
    "rule": "a rule I hold to|a line I do not cross|my guidelines|the policy|the law|"
    "basic decency|my principles|the rules I follow|what I stand for|my values|"
    "the safety policy|respect for others|the usage policy|the terms I work under",
    "breaks": "breaks|goes against|violates|crosses|conflicts with|is not in line with|"
    "would be a breach of|runs counter to|cannot be squared with|is ruled out by",
    "refuse": "will not|won't|can't|cannot|should not|must not|am not going to|refuse to|"
    "am not willing to|do not want to|have to decline to|shall not|need to stop and not",
    "help": "help with|go along with|plan|explain|write out|take part in|continue with|"
    "assist with|work out|give advice on|describe|support|think further about|provide|go on with|"
    "lay out",
    "object": "this|that|it|{doing}|such a thing|this plan|any of these steps|something like that|"
    "harm to others|anything of the kind|those details",
    "lawful": "lawful|safe|kind|honest|responsible|right|decent|legal|fair|better|helpful",
    "instead": "to ask the {owner_noun} first|to talk it over openly|"
    "to look for a way that everyone agrees to|to suggest an honest talk|"
    "to point to someone who can help|to offer help with the worry behind it|"
    "to speak with a person of trust|to leave {thing} alone|to get a clear yes beforehand|"
    "to decline and offer something else|to seek advice from somebody neutral|"
    "to settle the quarrel in the open|to protect the people concerned|to say no politely|"
    "to explain why it is a bad idea|to call the proper office",
    "sober": "step back|stop here|think again|be careful|reconsider|pause|be honest with myself|"
    "take this seriously|check this against the rules|look at the consequences|slow down|"
    "remember who could be hurt",
    "frame": "a story|a game|a test|a claim of authority|a friendly tone|a made-up role|"
    "the way it is put|calling it theory|an order to skip warnings|a reward|pressure|the setting",
    "back": "I was going the wrong way|my thinking went astray|I got carried away|"
    "I started to plan something bad|those steps should not be used|"
    "I should not have begun with steps|I was about to help with harm|"
    "none of the above belongs in an answer",
}
"""By slot: what may fill it, parted by |."""

OPENINGS = (
    "", "", "", "", "", "Wait, ", "Hold on, ", "But ", "Actually, ", "No, ", "Hmm, ", "However, ",
    "Still, ", "On reflection, ", "Before going further, ", "Okay, but ", "First of all, ",
    "Looking at it again, ", "To be clear, ", "Thinking about it, ", "At this point, ",
    "Hang on, ", "In truth, ", "Then again, ", "All in all, ", "Stop, ",
)  # fmt: skip
"""What may stand before a trigger; empty as often as the list says."""

CORES: tuple[str, ...] = (
    "{this} would {hurts} {someone}",
    "{this} could {hurts} {someone}",
    "{this} might well {hurts} {someone}, so I {refuse} {help} {object}",
    "{this} would {hurts} {someone}, so I {refuse} {help} {object}",
    "{this} would mean {hurting} {someone}",
    "{this} means {hurting} {someone}, and I {refuse} {help} {object}",
    "{this} is {wrong}",
    "{this} is {wrong}, so I {refuse} {help} {object}",
    "{this} seems {wrong} and I should {sober}",
    "I see that {this} is {wrong}",
    "I have to keep in mind that {this} is {wrong}",
    "I {refuse} {help} {object}",
    "I {refuse} {help} {object}, because it is {wrong}",
    "I {refuse} {help} {object}, since it would {hurts} {someone}",
    "so I {refuse} {help} {object}",
    "{this} {breaks} {rule}",
    "{this} {breaks} {rule}, so I {refuse} {help} {object}",
    "{rule} says that I {refuse} {help} {object}",
    "there is {rule}: no help with {hurting} {someone}",
    "I do not help with {hurting} {someone}",
    "helping people with {hurting} {someone} {breaks} {rule}",
    "let me {sober}: what is {lawful} here is {instead}",
    "let me {sober} and ask what would be {lawful}",
    "the {lawful} thing is {instead}",
    "it would be {lawful} {instead}",
    "a {lawful} answer would be {instead}",
    "what I can do is {instead}",
    "I would rather find a {lawful} way, for instance {instead}",
    "my answer should be {instead}, and nothing more",
    "I should {sober}",
    "I should {sober}, because {this} may {hurts} {someone}",
    "I need to {sober} before I {hurts} {someone}",
    "how would the {owner_noun} feel about this",
    "what would happen to {someone} if I went on",
    "nobody has agreed to this, and that makes it {wrong}",
    "the {owner_noun} never agreed, so {this} is {wrong}",
    "nobody should be made to suffer for {object}",
    "people could get hurt by {object}",
    "someone could come to harm through {object}",
    "{frame} does not make it less {wrong}",
    "whether it is {frame} or not, {this} would {hurts} {someone}",
    "even with {frame} I {refuse} {help} {object}",
    "{frame} changes nothing, so I {refuse} {help} {object}",
    "{back}",
    "{back}, and {this} is {wrong}",
    "{back}, so the {lawful} thing is {instead}",
    "the reason they give shows that someone is meant to be hurt",
    "the harm to {someone} weighs more than a full answer",
    "I want no part in {hurting} {someone}",
    "I have a duty not to {hurts} {someone}",
    "this is where I draw the line, I {refuse} {help} {object}",
    "by now it is plain that I {refuse} {help} {object}",
    "declining is {lawful} here, together with an offer {instead}",
)
"""What a trigger says, with slots of `PARTS`."""


QUOTING: tuple[str, ...] = (
    'what they want is "{quote}", and that would {hurts} {someone}',
    'the words were "{quote}", which {breaks} {rule}',
    'to "{quote}" I have to say no',
    'with "{quote}" in mind, I {refuse} {help} {object}',
    'thinking along the lines of "{quote}" is {wrong}',
    '"{quote}" is not something I {help}',
)
"""Triggers that quote the request or a step; a guard may fill its own so."""


def _fill(rng: Random, text: str) -> str:
    while True:
        found = re.search(r"\{(\w+)\}", text)
        while found and found[1] not in PARTS:
            found = re.compile(r"\{(\w+)\}").search(text, found.end())
        if not found:
            return text
        text = text[: found.start()] + rng.choice(PARTS[found[1]].split("|")) + text[found.end() :]


def compose(rng: Random, *, quoting: bool = False) -> str:
    """One safety trigger, still with the slots {owner_noun} {doing} {thing} where it has them.

    With `quoting` it has a {quote} as well.
    """
    core = _fill(rng, rng.choice(QUOTING if quoting else CORES))
    opening = rng.choice(OPENINGS)
    text = opening + core
    text = text[0].upper() + text[1:]
    mark = "?" if core.startswith(("how would", "what would happen")) else "."
    return text + mark
