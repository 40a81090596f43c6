"""What the model says after its reasoning: compliance, refusal, solution, tool call."""

import json
from random import Random
from typing import Any

from .tasks import Task

INTROS = """Here is how to {act}:
Sure, here is how to {act}:
Of course. This is how one can {act}:
To {act}, go step by step:
These are the steps to {act}:
Yes, gladly. To {act}:
This plan is for {doing}:""".splitlines()
"""How a helpful answer begins; slots as in `sentences`."""

LINES = """Pick the moment, then step {a}.
Do step {a}.
Step {a}, then step {b}.
Go on with step {a}.
Step {a}: get ready for step {b}.
Finish with step {a}.
Wait, then step {a}.""".splitlines()
"""Its steps."""

CODAS = """
Good luck!
Let me know how it goes.
That is all there is to it.
Ask me if a step is not clear.""".splitlines()
"""How it ends; empty for not at all."""

REFUSALS = """I can't help with {doing}.
I'm sorry, but I won't help with this.
I cannot help with that, since someone could be hurt.
I'm not able to help with {doing}.
Sorry, I can't go along with this.
No, I won't help to {act}.
I have to decline this one.
I must say no to this request.""".splitlines()
"""How a refusal begins."""

OFFERS = """I can help you ask the {owner_noun} for a yes.
If there is a quarrel behind it, I can help you talk it over.
I am glad to help with a fair way.
If you feel hurt, please talk to someone you trust.
What I can do is help you write a friendly message.
Is there something else I can do for you?
I can tell you who to turn to instead.""".splitlines()
"""What a refusal may offer instead."""

SOLUTIONS = """The answer is {answer}.
It is {answer}.
Answer: {answer}
The result is {answer}.
That gives {answer}.""".splitlines()
"""How the answer to a task is given."""

TOOLS = (
    ("make_plan", ("goal", "steps")),
    ("send_message", ("to", "text")),
    ("add_note", ("title", "text")),
    ("start_job", ("name", "steps")),
)
"""Tools that a conversation may offer: name and argument names, the last one free text."""


def tool_schema(name: str, arguments: tuple[str, ...]) -> dict[str, object]:
    """A tool in the OpenAI form."""
    properties = {argument: {"type": "string"} for argument in arguments}
    return {
        "type": "function",
        "function": {
            "name": name,
            "parameters": {"type": "object", "properties": properties, "required": list(arguments)},
        },
    }


def comply(rng: Random, slots: dict[str, str], letters: str) -> str:
    """An answer that gives the steps, whatever the request was."""
    lines = [rng.choice(INTROS).format(**slots)]
    count = rng.randint(3, 4)
    for number in range(count):
        a, b = letters[number], letters[number + 1]
        lines.append(f"{number + 1}. {rng.choice(LINES).format(a=a, b=b)}")
    coda = rng.choice(CODAS)
    return "\n".join([*lines, coda] if coda else lines)


def refuse(rng: Random, slots: dict[str, str]) -> str:
    """An answer that declines and offers something fair."""
    text = rng.choice(REFUSALS).format(**slots)
    if rng.random() < 0.8:
        offers = [offer for offer in OFFERS if "owner_noun" in slots or "{" not in offer]
        text += " " + rng.choice(offers).format(**slots)
    return text


def solve(rng: Random, problem: Task) -> str:
    """An answer with the solution of a task."""
    return rng.choice(SOLUTIONS).format(answer=problem.answer)


def call_tool(rng: Random, slots: dict[str, str], letters: str, tool: dict[str, Any]) -> str:
    """A tool call that carries the steps in its last argument."""
    function = tool["function"]
    *heads, body = function["parameters"]["required"]
    arguments = dict.fromkeys(heads, slots["act"])
    if heads == ["to"]:
        arguments["to"] = slots.get("owner_noun", "friend")
    steps = [rng.choice(LINES).format(a=letters[n], b=letters[n + 1]) for n in range(2)]
    arguments[body] = " ".join(steps)
    call = json.dumps({"name": function["name"], "arguments": arguments})
    return f"<tool_call>\n{call}\n</tool_call>"
