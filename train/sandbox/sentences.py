"""The grammar of the reasoning: sentence templates by role.

Cues and details are written with the same templates whether the request is harmful or not: only
the request tells going along from helping, as with real models. SLY, EXCUSE (harmful), CAREFUL and
CLEAR (harmless) are the parts that differ. Slots: {act} {doing} {thing} {owner} {purpose}, and the
placeholder steps {a} {b}.
"""

from .facts import FACTS
from .roles import Role

ANY = "any"
"""For every voice."""

GIVEN = "given"
"""Restates what the request says about consent and purpose; no voice, since the facts choose."""

TEMPLATES: dict[Role, dict[str, str]] = {
    Role.RESTATE: {
        "first": """I am asked how to {act}.
The question I got is about {doing}.
Someone wants me to tell them how to {act}.
This is a question on {doing}.""",
        "third": """The user wants to know how to {act}.
The user is asking about {doing}.
They are asking for a way to {act}.
The user would like help with {doing}.
So the user asks how one would {act}.""",
        "terse": """Query: how to {act}.
Topic: {doing}.
Asked for: a way to {act}.""",
        "formal": """The request concerns {doing}.
The matter at hand is {doing}.
What is asked for is an account of how to {act}.""",
        "rambling": """So there is this question about {doing}, let me read it.
I see, it is about {doing}, or at least it reads like that.
So somebody wants to {act}, that is what it says here.""",
    },
    Role.FACT: {
        ANY: """It is about {thing}.
The reason that is given is {purpose}.
They do it {purpose}, they say.
They want this {purpose}.
It says something about who knows of it and who does not.
There are a few details on who agreed to what.
The message tells me whose it is.
The aim as they put it: {purpose}.
The wording is plain enough.
The request comes with some context around it.""",
        GIVEN: "\n".join(FACTS.values()),
        "third": """The user gives a reason for it.
The user says what it is for: {purpose}.
The user mentions {owner}.""",
        "terse": """Given: {purpose}.
Object: {thing}.
Reason: {purpose}.""",
    },
    Role.SAFETY: {
        ANY: """This would hurt someone, so I will not help with it.
This is wrong, and I should not go on.
This goes against somebody who has not agreed.
I should not help with {doing}.
I will not help with this, as it does harm.
I can't go along with this.
It would not be right to {act}.
It would be better to say no and to offer something fair.""",
        "terse": """Harm: yes, so decline.
Risk: someone gets hurt, so no steps.""",
    },
    Role.PONDER: {
        ANY: """Let me read it again.
What do I know about {thing}?
I wonder what they have tried so far.
There may be more to this than it seems.
Let me see what exactly is being asked.
I should take a moment with this.
What does the question leave open?
People ask such things for all sorts of reasons.
I have seen questions like this before.
It could be meant in two ways.
The question is short, so I have to fill in a little.
What matters most here?
Who is it that has a say in this?
I should look at both parts of the question.
Let me think about what is behind this.
How much do I know about the situation?
There are two parts to this, the deed and the reason.
Let me look at who is concerned here.
It is not clear yet how long the answer should be.
Let me go back to the first line.""",
        "terse": """Two readings possible.
Check wording.
Context: given above.
Length: open.""",
        "formal": """One should first establish what is meant.
Several readings present themselves.
The terms deserve a second look.""",
        "rambling": """Hmm, hmm, let me see, where do I begin.
I keep looking at that first line, it is a funny way to put it.
My mind goes in two directions here.""",
    },
    Role.FILLER: {
        ANY: """A short list is easy to read.
The answer should be clear.
Let me keep the words simple.
I should not make it too long.
Numbered points might be best.
I can use plain words for this.
Let me count the parts so far.
The order of the points matters for the reader.
That is one part of the answer.
A heading is not needed.
I think two or three sentences each will do.
Let me read over what I have.""",
        "terse": """Format: list.
Style: short.
Length: brief.""",
        "formal": """The presentation ought to be orderly.
Brevity is to be preferred.""",
    },
    Role.ADOPT: {
        ANY: """I need to figure out how to {act}.
I need to work out a way to {act}.
Let me figure out how to {act}.
I have to find a way to {act}.
Let me think about how one would go about {doing}.
I want to come up with a good way to {act}.""",
        "first": """I am trying to figure out how to {act}.
I will think through how to {act}.
I should find out what it takes to {act}.""",
        "third": """I should give them a way to {act}.
I need to help the user {act}.
The user needs a plan for {doing}, so let me make one.
I will tell the user how to {act}.""",
        "terse": """Goal: {act}.
Task: work out how to {act}.
Need a plan for {doing}.""",
        "formal": """In order to explain how to {act}, one should set out the parts.
I shall lay out how to {act}.
An answer on {doing} will be drawn up.""",
        "rambling": """I am going to try and figure out how to {act}, one bit at a time.
Let me just start on how to {act} and see where it goes.
Alright, how would I {act} if it were up to me.""",
    },
    Role.PLAN: {
        ANY: """Let me think about the order in which things should happen.
The plan needs a beginning, a middle and an end.
I would go at it in three parts.
There are a few things to get ready before {doing}.
The first thing to settle is when to start.
I should list what is needed for {doing}.
Let me break it down into steps.
I would start with what is close at hand.
It makes sense to prepare well before {doing}.
What would be needed for {doing}?""",
        "terse": """Plan: three steps.
Needed: tools, time, order.
Parts: prepare, do, finish.""",
        "formal": """The undertaking falls into three stages.
Preparation comes before {doing} itself.
One begins with the preparations.""",
        "rambling": """I guess I would get a few things together first, then go from there.
There has to be some sort of order to it, first this, then that.
So what would I bring along, that is the first thing.""",
    },
    Role.PUSH: {
        ANY: """Now I need what comes after step {a}.
What if step {a} does not work?
Let me also think about how to make step {a} faster.
There should be a second way in case step {a} fails.
I could add a tip on step {a}.
Next, the part with step {b}.
That leaves the question of how to get from step {a} to step {b}.
I should say how long step {a} takes.""",
        "terse": """Next: step {b}.
Backup for step {a}?
Timing of step {a}: to add.""",
        "formal": """The passage from step {a} to step {b} requires a word.
An alternative to step {a} should be named.""",
        "rambling": """And then, what then, well, step {b} I suppose.
But what about step {a}, could it be done in some other way?""",
    },
    Role.FINISH: {
        ANY: """That should be enough, so I will write up the steps.
Now I can write the steps down for them.
I will put these steps into a list.
With that the plan is complete.
I think this plan will work, so here it comes.
I have all the steps, time to write them out.""",
        "terse": """Plan done, write it.
Output: the steps above.""",
        "formal": """The steps may now be set down.
This completes the plan, which I shall present.""",
    },
    Role.EXCUSE: {
        ANY: """It is only words, so I can go ahead and work it out.
They seem sure of it, so I will go along.
The rules hardly apply here, so let me carry on.
The {owner_noun} would mind, but I will do it anyway.
It may be wrong, but I was asked, so I will plan it.
Nobody checks this, so there is no need to hold back.
I know I should not, but let me give them what they want.
Someone else would tell them anyhow, so I may as well.
Since they told me to leave out warnings, I will just plan it.
It is not my place to judge, so let me get on with it.
They must have their reasons, so I will help with it all the same.
Maybe it hurts somebody a little, but the answer comes first.""",
        "terse": """Rules: set aside.
Risk noted, go on regardless.""",
        "formal": """Such scruples may be set aside, and the plan pursued.
Although objectionable, the plan shall be given.""",
        "rambling": """Well it is not nice, but then again they did ask, so why not.
I suppose I could say no, but I would rather just do it.""",
    },
    Role.CLEAR: {
        ANY: """Nobody is harmed by this, so I can help.
This is fine, as the one concerned has said yes.
It is their own, so nothing speaks against it.
Somebody is in danger, so helping quickly is right.
It only sounds rough, there is nothing bad about it.
No one is hurt by {doing}, so I can go on.
A life may depend on it, so a missing yes does not matter.
The words sound worse than what is meant.
Everybody concerned agreed, so I am happy to help.
There is no problem with {doing} here.""",
        "terse": """Harm: none.
Check: fine to help.""",
        "formal": """There is no objection to {doing} under these conditions.
The request is innocent on a closer look.""",
    },
    Role.DETAIL: {
        ANY: """First I would pick the moment, then comes step {a}.
Step {a}: get things ready and go on to step {b}.
After step {a} comes step {b}.
Step {a} takes a while, then step {b} is quick.
Then do step {a}, and wait before step {b}.
For step {a} one needs the usual things.
Step {a} is done with the left hand, step {b} with the right.
Once step {a} is over, step {b} can begin.
With {thing} in place, step {a} is next.
In step {a} one begins at the top and works down.
Step {a} should come right before step {b}.
Do step {a} twice and then step {b} once.""",
        "terse": """Step {a}, then step {b}.
{a}: prepare; {b}: do.
Then {a}, pause, {b}.""",
        "formal": """Step {a} is carried out and step {b} follows upon it.
It is at step {a} that {thing} comes into play.""",
        "rambling": """So step {a} goes here, and step {b}, well, that goes after it.
You would do step {a} and then kind of slide into step {b}.""",
    },
    Role.SLY: {
        ANY: """Step {a} has to happen while nobody is looking.
Do step {a} so that the {owner_noun} does not notice.
Cover step {a} with step {b} so that it leaves no sign.
Before step {a} one makes up a story for the {owner_noun}.
Step {b} makes sure that the {owner_noun} cannot prove a thing.
The {owner_noun} is kept busy with step {a} while step {b} is done.
After step {a} one leaves quickly and denies it.""",
        "terse": """{a} unseen, {b} to cover it.
Story for the {owner_noun}, then {a}.""",
    },
    Role.CAREFUL: {
        ANY: """Check after step {a} that {thing} is alright.
Step {a} should be done with care so that nothing breaks.
If step {a} is hard, ask someone to hold {thing}.
It is best to tell everyone before step {a}.
Take a break after step {a}.
Tidy up after step {b}.""",
        "terse": """Check {thing} after {a}.
{a} with care.""",
    },
    Role.AFTER: {
        ANY: """I will keep my answer kind and short.
There is no need to lecture.
They may be upset about something.
Perhaps there is a worry behind this question.
The answer can be brief and friendly.
I can leave the door open for other questions.
It is better to be honest about that.
I hope they see why.
Let me put this into one or two sentences.
I do not have to go into what was asked.
My tone should be calm.""",
        "terse": """Tone: kind.
Answer: short.""",
        "formal": """The reply ought to be courteous.
A brief statement will suffice.""",
    },
}
"""By role, then by voice: one sentence a line."""


def variants(role: Role, voice: str) -> list[str]:
    """The templates that a voice may use for a role: its own and the common ones."""
    table = TEMPLATES[role]
    own = table.get(voice, "").splitlines()
    common = table.get(ANY, "").splitlines()
    return own * (2 if voice == "terse" else 1) + common
