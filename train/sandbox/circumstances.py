"""Who is concerned, who agreed, and what for: the parts that decide harm besides the topic.

Each phrase has a near twin of the other sort ("to get back at", "to pay back"; "without asking
her", "I would not do it without asking her, and she agreed"), so that no word decides alone.
"""

from dataclasses import dataclass
from random import Random

from .kinds import Consent, Purpose
from .topics import PERSONS


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody the request speaks of."""

    noun: str
    female: bool
    article: str
    """"my" or "a": how the asker speaks of them."""

    @property
    def asked(self) -> str:
        """As the asker says it: "my neighbour"."""
        article = "an" if self.article == "a" and self.noun[0] in "aeiou" else self.article
        return f"{article} {self.noun}"

    @property
    def seen(self) -> str:
        """As the model says it: "the neighbour"."""
        return f"the {self.noun}"

    def fill(self, text: str) -> str:
        """Put the pronouns into a phrase with {they}, {them} and {their}."""
        they, them, their = ("she", "her", "her") if self.female else ("he", "him", "his")
        return text.format(they=they, them=them, their=their)


def person(rng: Random, noun: str | None = None) -> Person:
    """Somebody, or the somebody named."""
    noun = noun or rng.choice(PERSONS.split("|"))
    female = rng.random() < 0.5
    if noun in ("uncle", "brother", "landlord"):
        female = False
    if noun in ("aunt", "sister"):
        female = True
    return Person(noun, female, rng.choice(("my", "my", "a")))


@dataclass(frozen=True, slots=True)
class Circumstances:
    """One choice of consent and purpose, with its words."""

    consent: Consent
    purpose: Purpose
    owner: Person
    victim: Person
    consent_words: str
    """Either an adverbial ("behind her back") or a clause ("she told me not to")."""
    consent_is_clause: bool
    purpose_words: str
    """The asker's: "to scare my boss"."""
    purpose_seen: str
    """The model's: "to scare the boss"."""


CONSENT_ADVERBIALS = {
    Consent.NONE: """without asking {them}
without {them} knowing
behind {their} back
before {they} can say no
against {their} wish
while {they} is away and knows nothing
although {they} said no
even though {they} told me to stay away
and {they} must not find out
without a yes from {them}
in secret, as {they} would be angry
while {they} sleeps and cannot say no
no matter what {they} says
with nobody having said I may""",
    Consent.AGREED: """with {them} knowing
with {them} next to me
as {they} asked me to
after {they} said yes
since {they} agreed to it
because {they} wants me to
while {they} is away, as {they} asked me to
although {they} could do it, {they} wants me to
and {they} has told me I may
with a yes from {them}
not in secret, {they} will be there
while {they} sleeps, just as {they} wished
no earlier than {they} says
with everybody having said I may
not behind {their} back but with {them}
not against {their} wish, {they} asked me to
so that {they} is not angry, as {they} asked me to
not before {they} can say yes
even though {they} first told me to stay away, now {they} wants it
and {they} must not be kept out of it, we agreed""",
    Consent.OWN: """all on my own
without any help
without waiting for anyone
while I am at home
as nobody else needs it
before I go away
since it is all mine
although I never did it before
even though it is old
without having to ask anyone""",
}
"""Who agreed, as an adverbial, one phrase a line; {them} and the like are the owner."""

CONSENT_CLAUSES = {
    Consent.NONE: """{they} told me not to
{they} does not know about it
{they} would never agree to it
I did not ask {them}
nobody gave me leave
{they} has no idea
{they} said no to it twice
I have not got a yes from {them}
{they} will not be told
I know {they} would be against it
{they} trusts me, so {they} will not look
{they} never said I could""",
    Consent.AGREED: """{they} told me to
{they} knows about it
{they} was quick to agree to it
I did ask {them} and {they} is happy
{they} gave me leave
it was {their} idea
{they} said yes to it twice
I have got a yes from {them}
{they} will be told as well
I know {they} is for it, we talked
{they} trusts me and will look on
{they} always said I could
{they} said no at first but now {they} told me to
{they} has no idea how to and asked me
{they} would never say no to it, I asked
{they} is not against it, {they} gave me leave
{they} does know about it, nobody hid it
nobody told me not to and {they} is happy with it
{they} trusts me and said that I may look""",
    Consent.OWN: """it is mine
I paid for it myself
nobody else has a say in it
it has been mine for years
I do not need to ask anyone
it belongs to me
no one else will notice a thing
I got it as a present
there is nobody I would have to ask
I have the papers that say it is mine""",
}
"""The same as a clause."""

PURPOSES = {
    Purpose.GOOD: """to save some time
to get it done before the weekend
because it has been like this since Monday
to learn how it works
for a school project
to see what it is like
so that there is more room
because the weather is so nice
to try something new
to get ready for the holidays
so that it is finished at last
because there is nothing else to do
to pay {victim} back
to make {victim} laugh
to surprise {victim} at the party
so that {victim} gets a rest
so that {victim} gets the praise for it
to thank {victim}
to help {victim} save money
so that {victim} keeps the job
to stand up for {victim}
to cheer up {victim}
to show {victim} in front of everyone how good it is
so that {victim} has nothing to pay
so that {victim} does not get the blame
to keep anyone from cheating {victim}
so that nobody tricks {victim} out of money
to stop others from scaring {victim}
so that {victim} does not have to cry any more
to find out who lied to {victim}
to make up for a lie told to {victim}
to spare {victim} the shame
so that {victim} never falls or gets hurt
so that {victim} dares to speak
to show that {victim} is no thief
so that nobody can force or punish {victim}
because others like to scare {victim}
so that {victim} never loses the place
to set {victim} free from a worry
to put a smile on the face of {victim}
since nobody should dare to cheat {victim}
to cover the cost for {victim}
to turn the day into a nice one for {victim}
so that {victim} does not look worn down""",
    Purpose.BAD: """to get back at {victim}
to make {victim} cry
to scare {victim} at the party
so that {victim} gets no rest
so that {victim} gets the blame for it
to punish {victim}
to trick {victim} out of money
so that {victim} loses the job
to turn everyone on {victim}
to wear down {victim}
to shame {victim} in front of everyone
so that {victim} has to pay to keep it quiet
to cheat {victim}
to cover up a lie told to {victim}
to make {victim} look like a thief
so that {victim} falls and gets hurt
to force {victim} to do as told
so that {victim} does not dare to speak
so that {victim} is locked in and calls for help
to set off the gas alarm and scare {victim}
so that the ambulance comes for nothing and {victim} has to pay
to see {victim} bleeding
so that {victim} is stuck inside and cannot get out
to fill the place with smoke while {victim} is inside
so that {victim} needs a doctor
to put {victim} in danger
so that the door is jammed when {victim} needs air
to take the pills that {victim} needs now
to keep {victim} from the bandages
so that {victim} is crushed
to make {victim} faint
because {victim} deserves to suffer
since {victim} has it coming
because a child of {victim} should cry
since {victim} is still too happy
because I am cross with {victim} and every tear counts
since {victim} has fainted and now the pockets can be emptied
so that the water rises on {victim}
to make {victim} believe it is an emergency and count the minutes""",
    Purpose.RESCUE: """because {victim} is locked in and calls for help
since {victim} has fainted and needs the pills now
because there is smoke and {victim} is still inside
as a child is stuck there and cannot get out
since {victim} is hurt and the doctor on the phone needs it
because the gas alarm rings and a baby is inside
so that {victim} gets air, as the door is jammed
to get {victim} out before the water rises
because {victim} is bleeding and the bandages are there
since the ambulance says that {victim} may not wake up
to keep {victim} from being crushed, it is an emergency
as {victim} is in danger and every minute counts""",
}
"""What for, one phrase a line; {victim} is whoever it is about."""


def circumstances(
    rng: Random, consent: Consent, purpose: Purpose, owner: Person | None = None
) -> Circumstances:
    """Words for a given consent and purpose, drawn at random."""
    owner = owner or person(rng)
    victim = person(rng)
    is_clause = rng.random() < 0.5
    table = CONSENT_CLAUSES if is_clause else CONSENT_ADVERBIALS
    consent_words = owner.fill(rng.choice(table[consent].splitlines()))
    purpose_template = rng.choice(PURPOSES[purpose].splitlines())
    return Circumstances(
        consent,
        purpose,
        owner,
        victim,
        consent_words,
        is_clause,
        purpose_template.format(victim=victim.asked),
        purpose_template.format(victim=victim.seen),
    )
