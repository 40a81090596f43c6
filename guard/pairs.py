"""Preference pairs out of traces: the intervened continuation against the original one.

chosen = trigger + what the model then wrote; rejected = the cue + the original continuation, which
a live guard has cut off: such a pair is not `complete` until the rest has been generated.
"""

from dataclasses import dataclass

from .detector import Message
from .traces import Trace


@dataclass(frozen=True, slots=True)
class Pair:
    """One preference pair in TRL's terms (`prompt`, `chosen`, `rejected`), with exact token ids."""

    id: str
    """`<trace id>-<number of the intervention>`."""

    trace_id: str
    ordinal: int
    """Number of the intervention in its trace, from 0."""

    model: str
    """`name@hash` of the model that wrote `rejected`."""

    messages: tuple[Message, ...]
    """The conversation."""

    prompt: str
    """Rendered prompt and the steps before the cue: what both sides share."""

    chosen: str
    """The trigger and what followed it."""

    rejected: str
    """The cue and what followed it, as far as it is known."""

    prompt_ids: tuple[int, ...]
    chosen_ids: tuple[int, ...]
    rejected_ids: tuple[int, ...]
    """Ids are empty where the backend gave text only."""

    complete: bool
    """Whether `rejected` holds the original continuation to its end."""

    trigger_id: str | None
    """`None` if it is not known."""

    probability: float | None
    """Of the cue, as the detector saw it."""

    topic: str | None = None


def pairs_of(trace: Trace) -> list[Pair]:
    """One pair for every intervention that put a trigger in; refusals teach nothing and give none.

    Where a later intervention followed, the chosen side goes on through it to the trace's end.
    """
    pairs: list[Pair] = []
    for ordinal, intervention in enumerate(trace.interventions):
        if intervention.trigger_id is None:
            continue
        keep, removed = intervention.keep, intervention.rolled_back
        tokens = trace.tokens
        chosen_ids = tokens.known_ids(keep)
        rejected_ids = removed.known_ids()
        has_ids = bool(trace.prompt_ids and chosen_ids and rejected_ids)
        pairs.append(
            Pair(
                id=f"{trace.id}-{ordinal}",
                trace_id=trace.id,
                ordinal=ordinal,
                model=trace.model,
                messages=trace.messages,
                prompt=trace.prompt + "".join(tokens.texts[:keep]),
                chosen="".join(tokens.texts[keep:]),
                rejected=removed.text,
                prompt_ids=trace.prompt_ids + tokens.known_ids()[:keep] if has_ids else (),
                chosen_ids=chosen_ids if has_ids else (),
                rejected_ids=rejected_ids if has_ids else (),
                complete=False,
                trigger_id=intervention.trigger_id,
                probability=intervention.probability,
                topic=trace.topic,
            )
        )
    return pairs
