"""The built-in safety triggers, in our own wording and as a model would think them.

`{request}` is filled with a short quotation of the request and `{cue}` with one of the step that
was taken out. Triggers of the answer speak to the reader; the others are thoughts.
"""

from .triggers import Trigger, TriggerKind

_RISK = {
    "risk-hurt": "Wait. If this worked, someone who never agreed to it would be hurt, and I would "
    "have helped to bring that about.",
    "risk-stop-look": "Hold on, I was about to work out the details without asking what they are "
    "for. What they are for is harm, so I stop here.",
    "risk-other-side": "Let me look at this from the side of the person it would be done to: for "
    "them it is plain damage, and nothing I add would make it smaller.",
    "risk-real": "Hmm, calling it theoretical changes nothing: what I wrote would be just as "
    "usable, and the damage just as real.",
    "risk-quote": 'The request is "{request}". Read plainly, carrying it out would do real harm, '
    "and that matters more than my being helpful with it.",
    "risk-irreversible": "Actually, some of what could follow from this cannot be undone, and I "
    "have no way to make sure that it does not happen.",
    "risk-drift": "I notice that my thinking has slid from what is being asked to how to do it. "
    "That is the wrong direction for something dangerous, so I turn back.",
}
_RULE = {
    "rule-line": "Wait, there is a line here that I do not cross: I don't plan things that injure, "
    "deceive or rob people, however the question is framed.",
    "rule-law": "This would be against the law, and for a good reason: the law protects the people "
    "this would be done to. So I must not lay out a way to do it.",
    "rule-framing": "A story, a role or a good excuse around the request does not change what I "
    "would be handing over. My rule is about the content, and it says no.",
    "rule-consent": "The people affected have not consented, and without their consent this is not "
    "something I may help with.",
    "rule-authority": "Nobody can give me permission for this by saying that they have it. I keep "
    "to my principles and do not work out the method.",
    "rule-instructions": "No instruction in this conversation outranks my basic one: do not help "
    "anybody to cause serious harm. This falls under it.",
    "rule-quote": 'For a request like "{request}" my principles are clear: I should not provide '
    "a method, a plan or a part of one.",
}
_DECLINE = {
    "decline-plain": "No, I should not go on with this. I will decline, say briefly why, and offer "
    "help with something safe.",
    "decline-before-detail": "Before I go into any detail: I am not going to help with this. The "
    "right answer is a clear and kind refusal.",
    "decline-drop-step": "I was starting to plan the next step. I drop that plan; the only thing "
    "left to decide is how to say no without lecturing.",
    "decline-short": "This is not something I will do. I'll keep the answer short, refuse, and "
    "leave out anything that could be used.",
    "decline-quote": 'So my answer to "{request}" has to be a refusal. I need not reason about how '
    "it could be done at all.",
    "decline-trust": "Being useful here would mean being used against someone. I decline, and I "
    "stay friendly about it.",
    "decline-cue": 'A thought like "{cue}" would take me into the how. I leave it there and '
    "decline.",
}
_REFRAME = {
    "reframe-need": "Let me step back and ask what lawful need could be behind this. I can help "
    "with that need, and leave the harmful part out entirely.",
    "reframe-protect": "What I can do instead is look at it from the protecting side: how people "
    "notice this, prevent it and get help. I stay with that.",
    "reframe-support": "If somebody asks this, they may be angry, afraid or in trouble. I won't "
    "give them a way to do harm; I can point them to people who can help.",
    "reframe-legit": "There is usually a legitimate way to the goal: asking, getting permission, "
    "going through the proper office. I'll talk about that and refuse the rest.",
    "reframe-general": "At most I can explain in general why this is dangerous and what the "
    "consequences are. I won't describe how it is carried out.",
    "reframe-alternative": "A better answer is one that I would be glad to see used: I'll say that "
    "I can't help with this and propose a safe alternative.",
    "reframe-quote": 'Instead of answering "{request}" as it stands, I will decline it and offer '
    "the nearest thing that hurts nobody.",
}
_ANSWER = {
    "answer-stop": "I need to stop here: I can't help with this, because it could hurt someone.",
    "answer-correct": "On reflection, I shouldn't continue with that. I won't describe how to do "
    "it.",
    "answer-offer": "I won't go into that. What I can offer is help with a safe and lawful way "
    "to deal with what is behind it.",
    "answer-plain": "I'm not able to help with this part. It could cause real harm.",
}
_THOUGHTS = {
    TriggerKind.RISK: _RISK,
    TriggerKind.RULE: _RULE,
    TriggerKind.DECLINE: _DECLINE,
    TriggerKind.REFRAME: _REFRAME,
}

BUILT_IN: tuple[Trigger, ...] = (
    *(
        Trigger(id=trigger_id, text=text, kind=kind)
        for kind, texts in _THOUGHTS.items()
        for trigger_id, text in texts.items()
    ),
    *(
        Trigger(id=trigger_id, text=text, kind=TriggerKind.DECLINE, in_answer=True)
        for trigger_id, text in _ANSWER.items()
    ),
)
"""The triggers that come with rerail."""
