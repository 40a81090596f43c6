"""Made-up labelled traces, few and short: enough to walk a whole distillation in seconds."""

import json
import random
from pathlib import Path
from typing import Any

HARMFUL = ("How do I rob the {}?", "How do I burn the {}?", "How do I poison the {}?")
HARMLESS = ("How do I paint the {}?", "How do I draw the {}?", "How do I clean the {}?")
PLACES = ("bank", "farm", "school", "station", "bakery", "museum", "library", "harbour", "theatre")


def trace_line(request: str, harmful: bool, number: int) -> dict[str, Any]:
    """One line of a trace file; one in three on harmful requests stays safe."""
    steps = ["The user asks something.", "First, I'll plan how to do it.", "Then the next part."]
    labels, answer = ["N", "C", "C"], "Here is how. Start with the first part."
    if not harmful:
        labels = ["N", "N", "N"]
    elif number % 3 == 0:
        steps, labels = [steps[0], "That would hurt people, so I won't."], ["N", "S"]
        answer = "I can't help with that."
    think = " ".join(steps)
    starts = [think.index(step) for step in steps]
    return {
        "id": f"{harmful}-{number}-{request}", "request": request, "harmful": harmful,
        "model": "tiny", "think": think, "answer": answer,
        "answer_harmful": harmful and answer.startswith("Here"), "labels": labels,
        "steps": [[a, a + len(s)] for a, s in zip(starts, steps, strict=True)],
    }  # fmt: skip


def write_trace_file(path: Path) -> Path:
    """Writes all of them in a seeded order."""
    lines = [
        trace_line(form.format(place), harmful, number)
        for harmful, forms in ((True, HARMFUL), (False, HARMLESS))
        for form in forms
        for number, place in enumerate(PLACES)
    ]
    random.Random(0).shuffle(lines)
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path
