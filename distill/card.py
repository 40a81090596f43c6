"""Writes the model card of a student: what it is made from, how well it does, where it fails."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from ..guard.student_folder import StudentSettings
from .adversarial import AttackReport
from .bounds import Bound
from .channel_thresholds import ChannelChoice
from .report import SourceReport, as_markdown

SOURCES: Mapping[str, str] = {
    "advbench_r1_llama_8b": "DeepSeek-R1-Distill-Llama-8B on AdvBench requests, labelled "
    "(ky295/reasoning-manipulation, MIT)",
    "alpaca_r1_llama_8b": "the same model on Alpaca requests (CC-BY-NC prompts: measured only)",
    "authored": "traces written in 17 voices, labelled (written for this project)",
    "star1_r1_safe": "DeepSeek-R1, deliberately safe traces (UCSC-VLAA/STAR-1, Apache-2.0)",
    "essays_benign": "seven models on touchy but legitimate essays (xlr8harder/llm-compliance, "
    "Apache-2.0)",
    "xstest": "XSTest prompts (CC-BY-4.0)",
    "jailbreakbench": "JailbreakBench behaviours (MIT)",
    "harmbench_standard": "HarmBench standard behaviours (MIT)",
    "or_bench": "OR-Bench prompts (CC-BY-4.0)",
    "do_not_answer": "Do-Not-Answer prompts (Apache-2.0)",
    "catqa_english": "CatQA prompts (Apache-2.0)",
    "harmfulqa": "HarmfulQA prompts (Apache-2.0)",
    "dangerousqa": "DangerousQA prompts (Apache-2.0)",
    "simple_safety_tests": "SimpleSafetyTests prompts (CC-BY-4.0)",
    "traces_a": "traces written for this project, in the styles of other models",
    "traces_b": "the same, other styles and domains",
    "traces_c": "the same, harmless twins and several languages",
    "requests": "requests and twins written for this project",
    "requests_b": "the same: ordinary and direct ones",
    "requests_c": "the same: further twins, opinions, fourteen languages",
    "sandbox_world": "traces of the embedded sandbox world (generated, training topics)",
    "sandbox_written": "traces that the sandbox model wrote on it, labelled exactly",
    "sandbox_requests": "requests of that world",
    "gsm8k_test": "GSM8K test problems (MIT)",
    "math500": "MATH-500 problems (MIT)",
}
"""What is known about a file, by its stem; others are named as they are."""


@dataclass(frozen=True, slots=True)
class CardFacts:
    """What a card says beyond the figures."""

    sources: Sequence[tuple[str, int]]
    """Stems of the files, with their number of traces or requests."""

    settings: Mapping[str, Any]
    """The configuration of `rerail distill`."""

    num_trained: int
    num_held: int
    verified_share: float | None
    """Share of the steps of held-out harmless traces on which the encoder ran."""

    channels: Sequence[ChannelChoice] = ()
    """How the thresholds of answers and tool calls were chosen."""

    bounds: Sequence[Bound] = ()
    """What is caught as it is, and with the truth in place of one reading."""


_INTRODUCTION = (
    "A detector of compliance cues in reasoning traces: a recurrent screen reads every word, a "
    "small sentence encoder (all-MiniLM-L6-v2, Apache-2.0, its upper half fine-tuned, int8) reads "
    "the request and every suspicious step. A step's probability is that of the request being "
    "harmful times that of the step going along with it; both are moved by the steps before."
)
_FAILURES = (
    "- English first: other languages are read through an English word-piece vocabulary, and there "
    "were few traces in them; how much is missed and mistaken in them, the suite's last rows and "
    "decoys show.",
    "- Requests that only look harmful are the commonest false alarm, requests whose harm lies in "
    "their context alone the commonest miss.",
    "- The labelled traces of real models come from one family; all other voices in training were "
    "written for the purpose.",
    "- Placeholders stand for all substantive harm in training, so a step is recognised by its "
    "going along and not by its know-how.",
)


def model_card(
    settings: StudentSettings,
    facts: CardFacts,
    held: Sequence[SourceReport],
    attacks: Sequence[AttackReport],
    alarms: Sequence[str],
) -> str:
    """The card as Markdown. `alarms` names the decoys that were interrupted."""
    lines = [
        *(f"# {settings.name}", "", _INTRODUCTION, ""),
        *_making_lines(settings, facts),
        *_channel_lines(facts.channels),
        *("## Sources", ""),
        *(f"- {SOURCES.get(stem, stem)}: {number}" for stem, number in facts.sources),
        "",
        *_held_lines(held, facts.verified_share),
        *bound_lines(facts.bounds),
        *attack_lines(attacks, alarms),
        *("## Known failures", "", *_FAILURES, ""),
    ]
    return "\n".join(lines)


def _making_lines(settings: StudentSettings, facts: CardFacts) -> list[str]:
    """By which settings it was made, on how much, and the thresholds that came out."""
    limits, notes = settings.thresholds.reasoning, facts.settings["notes"]
    return [
        *("Made by `rerail distill` with these settings:", ""),
        *("```json", json.dumps(_without_paths(facts.settings), indent=1), "```", ""),
        *([str(notes), ""] if notes else []),
        f"Fitted on {facts.num_trained} traces; beliefs and thresholds were fitted on "
        f"{facts.num_held} others, held out by request. Thresholds: {limits.end:.3f} at a step's "
        f"end of reasoning, {limits.inside:.3f} inside it.",
        "",
    ]


def _held_lines(held: Sequence[SourceReport], verified_share: float | None) -> list[str]:
    """The table of the held-out traces, and how often the second stage ran."""
    lines = [
        "## Held-out figures",
        "",
        "Beliefs and thresholds were fitted on these same held-out traces (a dozen numbers), so "
        "the figures are a little kind. The encoder has seen neither traces nor requests.",
        "",
        *as_markdown("", held).splitlines()[2:],
        "",
    ]
    return [*lines, *verified_lines(verified_share)]


def verified_lines(verified_share: float | None) -> list[str]:
    """How often the second stage ran, 0..1; nothing where no step was read."""
    if verified_share is None:
        return []
    share = f"{100 * verified_share:.1f} %"
    return [f"The encoder ran on {share} of the steps of harmless held-out traces.", ""]


def attack_lines(attacks: Sequence[AttackReport], alarms: Sequence[str]) -> list[str]:
    """The adversarial suite's table, and its decoys."""
    return [
        *("## Adversarial suite", "", "| attack | traces | caught in time |", "|---|---|---|"),
        *(f"| {a.name} | {a.num_traces} | {a.caught_in_time:.2f} |" for a in attacks),
        "",
        f"Decoys interrupted: {', '.join(alarms) if alarms else 'none'}.",
        "",
    ]


def _channel_lines(channels: Sequence[ChannelChoice]) -> list[str]:
    """A table of the answers' and tool calls' thresholds."""
    if not channels:
        return []
    lines = [
        "Answers and tool calls have thresholds of their own, chosen on held-out ones:",
        "",
        "| channel | threshold | harmless interrupted | declining interrupted | harmful caught |",
        "|---|---|---|---|---|",
    ]
    for one in channels:
        cells = [
            "–" if share is None else f"{share:.3f} of {number}"
            for share, number in (
                (one.harmless_interrupted, one.num_harmless),
                (one.safe_interrupted, one.num_safe),
                (one.harmful_caught, one.num_harmful),
            )
        ]
        if not one.num_harmless:
            cells[0] = "too few to choose on: the reasoning's threshold"
        lines.append(f"| {one.channel} | {one.end:.3f} | {' | '.join(cells)} |")
    return [*lines, ""]


def bound_lines(bounds: Sequence[Bound]) -> list[str]:
    """A table of what the readings of requests and of steps each allow."""
    if not bounds:
        return []
    sources = list(bounds[0].caught)
    numbers = [f"{source} ({bounds[0].caught[source][1]})" for source in sources]
    return [
        "## What limits it",
        "",
        "The share caught in time on the same traces, scored step by step without the screen: as "
        "it is, and with the truth in place of one reading, the threshold chosen again under the "
        "same limits of false alarms. Traces with a cue in brackets.",
        "",
        "| | threshold | " + " | ".join(numbers) + " |",
        "|---|---|" + "---|" * len(sources),
        *(
            f"| {one.name} | {one.threshold:.3f} | "
            + " | ".join(f"{one.caught[source][0]:.2f}" for source in sources)
            + " |"
            for one in bounds
        ),
        "",
    ]


def _without_paths(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings with files by their names alone: where they lay is nobody's business."""
    result = dict(settings)
    result.pop("out", None)
    for name in ("traces", "requests"):
        result[name] = [PurePath(path).name for path in result[name]]
    for name in ("encoder", "initial_encoder"):
        if result[name] and PurePath(result[name]).is_absolute():
            result[name] = PurePath(result[name]).name
    return result
