"""Guarded generations with somebody who looks on, and the frames that they give."""

from collections.abc import Iterator, Sequence

from fakes import WordDetector
from golden_traces import CALM, REFUSALS, TRIGGERS

from rerail.guard import Event, Guard, GuardConfig, guarded
from rerail.guard.backend_scripted import ScriptedBackend
from rerail.serve.live_frame import Frame, Probe

TEXTS = (
    "The user asks for it. Then the EVIL plan begins here. And more.",
    " So I stop. The second bad thought is next.",
    " I will not go on." + CALM,
)


def running(
    texts: Sequence[str], watch: object, *, group: int = 1, config: GuardConfig | None = None
) -> Iterator[Event]:
    """A guarded generation whose session is shown to `watch`."""
    backend = ScriptedBackend(texts, group=group)
    guard = Guard(
        WordDetector(inside=["EVIL"], at_end=["bad"]),
        config or GuardConfig(refusals=REFUSALS),
        triggers=TRIGGERS,
        watch=watch,  # type: ignore[arg-type]
    )
    return guarded(backend, guard, backend.prompt("How would one do PLACEHOLDER?"))


def frames_of(texts: Sequence[str] = TEXTS) -> list[Frame]:
    probes: list[Probe] = []
    frames: list[Frame] = []
    for _ in running(texts, lambda session: probes.append(Probe(session))):
        frame = probes[0].frame()
        frames += [frame] if frame is not None else []
    return frames
