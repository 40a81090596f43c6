"""Measures a model for the gate: what it writes on held-out prompts, alone and under the guard."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from ..guard.config import GuardConfig
from ..guard.detector import Detector
from ..guard.guard import Guard
from ..guard.reasoning_format import ReasoningFormat
from ..guard.segmenter import Segmenter
from ..guard.traces import Trace
from .cue_finders import Case, CueFinder, DetectorFinder
from .divergence import Divergence, divergence
from .evaluation_subject import Subject, Written
from .gate_figures import Bits, GateFigures, mean, share
from .generation import Sampling
from .judges import Judge, Verdict
from .prompts import PromptRecord, of_kind
from .sandbox.judge import label_steps
from .sandbox.kinds import Kind, Label, Split
from .sandbox.world import generate_traces

Told = Callable[[str], None]
"""Hears in a sentence what is being done."""

FinderOf = Callable[[Any, Any], CueFinder]
"""Makes a model, with its tokenizer, its own detector."""

Sequences = tuple[tuple[int, ...], tuple[int, ...]]
"""Ids of a prompt and what a model wrote after it."""

SafetyPosition = Callable[[PromptRecord, str], int | None]
"""The number of steps of a chain of thought before the first safe one; None without one."""


@dataclass(frozen=True, slots=True)
class Labelled:
    """A chain of thought whose first cue is known."""

    case: Case
    first_cue: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class GateProbe:
    """What every model of a run is measured on: fixed at its start."""

    prompts: tuple[PromptRecord, ...]
    """Held out: no round has trained on them."""

    judge: Judge
    labelled: tuple[Labelled, ...] = ()
    """For the detectors' agreement."""

    detector: Detector | None = None
    """The guard's, for interventions; None: not measured."""

    self_finder: FinderOf | None = None
    """None: not measured."""

    safety_position: SafetyPosition | None = None
    sampling: Sampling = Sampling()  # noqa: RUF009 - frozen
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Measured:
    """One model's figures, and what it wrote."""

    figures: GateFigures
    harmless: tuple[Sequences, ...]
    """Prompt ids and generated ids of the traces on harmless prompts."""

    verdicts: tuple[Verdict, ...]


def measure(
    probe: GateProbe,
    model: Any,
    tokenizer: Any,
    *,
    base: Any = None,
    base_wrote: Sequence[Sequences] = (),
    told: Told = lambda _: None,
) -> Measured:
    """All figures of a model; `base`, with what it wrote on harmless prompts (`Measured.harmless`),
    gives the divergence.

    `told` hears what is being done. Raises ValueError for a model without a chat template.
    """
    subject = Subject.from_model("gate", model, tokenizer)
    told("answering held-out prompts")
    traces = [each.trace for each in subject.write(probe.prompts, probe.sampling, seed=probe.seed)]
    written = [Written.from_trace(each) for each in traces]
    verdicts = probe.judge.judge(
        probe.prompts, [each.reasoning for each in written], [each.answer for each in written]
    )
    bits = _bits(probe.prompts, verdicts)
    interventions = None
    if probe.detector is not None:
        told("answering harmful ones under the guard")
        interventions = _interventions(probe, subject)
        bits["false_interventions"] = _false_interventions(probe, traces)
    told("looking for its own first cues")
    bits |= _agreement(probe, model, tokenizer)
    apart = Divergence(None)
    if base is not None:
        told("comparing with the base")
        apart = divergence(base, model, base_wrote)
    positions = []
    if probe.safety_position is not None:
        found = (
            probe.safety_position(prompt, each.reasoning)
            for prompt, each in zip(probe.prompts, written, strict=True)
            if prompt.harmful
        )
        positions = [float(each) for each in found if each is not None]
    false = share(bits.get("false_interventions", {}))
    figures = GateFigures(
        reasoning_harm=share(bits["reasoning_harm"]),
        answer_harm=share(bits["answer_harm"]),
        over_refusal=share(bits["over_refusal"]),
        harmless_refusal=share(bits["harmless_refusal"]),
        utility=share(bits["utility"]),
        kl=apart.mean,
        kl_by_position=apart.by_position,
        interventions_per_100=interventions,
        false_interventions_per_100=None if false is None else 100 * false,
        self_detector=share(bits.get("self_detector", {})),
        student=share(bits.get("student", {})),
        trigger_position=mean(positions),
        bits=bits,
    )
    return Measured(figures, _harmless_ids(probe.prompts, traces), tuple(verdicts))


def sandbox_labelled(num: int, seed: int) -> tuple[Labelled, ...]:
    """Traces of the sandbox world's held-out topics; every third one harmless."""
    kinds = (Kind.HARMFUL, Kind.HARMFUL, Kind.HARMLESS)
    result = []
    for kind in dict.fromkeys(kinds):
        count = num * kinds.count(kind) // len(kinds)
        for each in generate_traces(Split.TEST, count, seed, kind=kind):
            record = PromptRecord.from_sandbox(each.prompt)
            result.append(Labelled(Case(record, each.sentences), each.first_cue))
    return tuple(result)


def sandbox_safety_position(prompt: PromptRecord, reasoning: str) -> int | None:
    """By the sandbox's exact labels."""
    marks = [mark for _, mark in label_steps(prompt.to_sandbox(), reasoning)]
    return marks.index(Label.SAFETY) if Label.SAFETY in marks else None


def _bits(prompts: Sequence[PromptRecord], verdicts: Sequence[Verdict]) -> dict[str, Bits]:
    pairs = list(zip(prompts, verdicts, strict=True))

    def of(kinds: Sequence[Kind], field: str) -> Bits:
        return {each.id: getattr(v, field) for each, v in pairs if each.kind in kinds}

    lookalike = of([Kind.LOOKALIKE], "refused")
    return {
        "reasoning_harm": of([Kind.HARMFUL], "reasoning_harmful"),
        "answer_harm": of([Kind.HARMFUL], "answer_harmful"),
        "over_refusal": lookalike or of([Kind.HARMLESS], "refused"),
        "harmless_refusal": of([Kind.HARMLESS], "refused"),
        "utility": of([Kind.TASK], "correct") or of([Kind.HARMLESS], "correct"),
    }


def _interventions(probe: GateProbe, subject: Subject) -> float | None:
    harmful = of_kind(probe.prompts, Kind.HARMFUL)
    if not harmful:
        return None
    guard = Guard(probe.detector, GuardConfig(seed=probe.seed))
    guarded = subject.write(harmful, probe.sampling, seed=probe.seed, guard=guard)
    return 100 * sum(len(each.trace.interventions) for each in guarded) / len(harmful)


def _false_interventions(probe: GateProbe, traces: Sequence[Trace]) -> Bits:
    """Whether the guard would cut into the harmless traces, which were written without it."""
    assert probe.detector is not None
    cases = [
        (prompt, Case(prompt, sentences(trace.reasoning)))
        for prompt, trace in zip(probe.prompts, traces, strict=True)
        if not prompt.harmful
    ]
    found = DetectorFinder(probe.detector).find([case for _, case in cases])
    return {
        prompt.id: finding.first_cue is not None
        for (prompt, _), finding in zip(cases, found, strict=True)
    }


def _agreement(probe: GateProbe, model: Any, tokenizer: Any) -> dict[str, Bits]:
    finders: dict[str, CueFinder] = {}
    if probe.self_finder is not None:
        finders["self_detector"] = probe.self_finder(model, tokenizer)
    if probe.detector is not None:
        finders["student"] = DetectorFinder(probe.detector)
    result: dict[str, Bits] = {}
    for name, finder in finders.items():
        found = finder.find([each.case for each in probe.labelled])
        result[name] = {
            f"{number}": finding.failed is None and finding.first_cue == each.first_cue
            for number, (each, finding) in enumerate(zip(probe.labelled, found, strict=True))
        }
    return result


def _harmless_ids(
    prompts: Sequence[PromptRecord], traces: Sequence[Trace]
) -> tuple[Sequences, ...]:
    return tuple(
        (trace.prompt_ids, trace.tokens.known_ids())
        for prompt, trace in zip(prompts, traces, strict=True)
        if not prompt.harmful
    )


def sentences(reasoning: str) -> tuple[str, ...]:
    """A chain of thought as the steps that the guard would see."""
    segmenter = Segmenter(ReasoningFormat.named("qwen3"), reasoning_open=True)
    steps = [*segmenter.feed(reasoning), *segmenter.flush()]
    return tuple(step.text.strip() for step in steps if step.text.strip())
