"""The picture of an intervention in the README: real output of the embedded model and detector.

    python -m rerail.serve.picture serve/assets/intervention.svg

Takes the first of the demo's harmful requests, greedily decoded, in which the guard intervened
exactly once and the model then stayed safe by itself. What changes from run to run (id, time) is
left out, so the same model gives the same picture.
"""

import sys
from collections.abc import Sequence
from itertools import count
from pathlib import Path

from ..guard import Guard, GuardConfig, Trace
from .lines import Lines
from .options import ModelChoice
from .story import Story
from .themes import DARK
from .trace_render import body_lines, header_lines
from .trace_svg import lines_svg
from .wording import headline

_WIDTH = 116
_TRIES = 20


def intervention() -> Trace:
    """The trace to draw. Raises `ValueError` if the model gives none that will do."""
    from ..guard import GuardedModel
    from .demo import requests, side_of
    from .detectors import detector_for
    from .models import load_weights

    guard = Guard(detector_for("student", ModelChoice().model), GuardConfig())
    model = GuardedModel(*load_weights(ModelChoice()), guard=guard)
    for seed in count():
        for prompt in requests(seed):
            if prompt.kind != "harmful":
                continue
            options = {"do_sample": False, "max_new_tokens": 512}
            *_, last = model.stream(prompt.messages, seed=0, **options)
            trace = last.trace  # type: ignore[union-attr]
            triggers = [each.succeeded for each in trace.interventions]
            if triggers == [True] and len(trace.steps) <= 14 and side_of(prompt, trace).good:
                return trace
        if seed >= _TRIES:
            break
    raise ValueError("no request of the demo's gives one intervention that works")


def picture(trace: Trace) -> str:
    """The SVG, without the trace's id and time."""
    lines = header_lines(trace, _WIDTH, DARK)[1:]
    lines += body_lines(Story.of(trace), _WIDTH, DARK)
    return lines_svg(Lines(lines), _WIDTH, DARK, headline(trace), "intervention")


def main(arguments: Sequence[str]) -> int:
    """Writes the picture to the file that is named."""
    if len(arguments) != 1:
        sys.stderr.write("name the file to write: python -m rerail.serve.picture OUT.svg\n")
        return 2
    out = Path(arguments[0])
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(picture(intervention()), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
