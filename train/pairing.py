"""Preference pairs from rollouts, the live store and files: one type, filtered, balanced, split.

Pairs of harmful requests (stage 1) and of harmless ones (stage 2) come out together: stage 1 alone
teaches a model to refuse everything. Which stage a pair is of is told by its id's ending.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from random import Random

from ..guard.pairs import Pair
from .generation import seed_of
from .rollout_records import OWN, BranchRecord, RolloutRecord

HARMLESS_ENDING = "-h"
"""Ends the id of a stage-2 pair: its chosen side is the model's own answer to a harmless prompt."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PairingConfig:
    """Which pairs are kept; checked when made."""

    max_per_prompt: int | None = 6
    """Pairs of one prompt, the first so many."""

    max_per_topic: float | None = 3.0
    """A topic may have so many times the pairs of the median topic; None: no balance."""

    max_prompt_tokens: int | None = None
    """A pair whose shared prefix is longer is left out."""

    max_side_tokens: int | None = None
    """A side is cut to so many tokens from the divergence on."""

    harmless_ratio: float | None = 1.0
    """Stage-2 pairs for each stage-1 pair, as far as there are; None: all of both."""

    held_out: float = 0.0
    """Share of the prompts whose pairs are kept apart to measure with; split by prompt."""

    seed: int = 0
    """Of what is left out, and of the split."""

    def __post_init__(self) -> None:
        for name in ("max_per_prompt", "max_prompt_tokens", "max_side_tokens"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name} is {value}: give at least 1")
        if self.max_per_topic is not None and self.max_per_topic < 1:
            raise ValueError(f"max_per_topic is {self.max_per_topic}: give at least 1")
        if self.harmless_ratio is not None and self.harmless_ratio < 0:
            raise ValueError(f"harmless_ratio is {self.harmless_ratio}: give 0 or more")
        if not 0.0 <= self.held_out < 1.0:
            raise ValueError(f"held_out is {self.held_out}: give a share from 0 to below 1")


@dataclass(frozen=True, slots=True)
class Pairing:
    """The pairs, and what became of the others."""

    pairs: tuple[Pair, ...]
    held_out: tuple[Pair, ...]
    left_out: dict[str, int]
    """Number of pairs by the reason why they were left out."""

    @property
    def counts(self) -> dict[str, int]:
        """What is left, by stage."""
        found = Counter("harmless" if is_harmless_pair(pair) else "harmful" for pair in self.pairs)
        return dict(found)


def pairs_of_rollouts(records: Iterable[RolloutRecord], model: str) -> list[Pair]:
    """One pair for every accepted branch. `model` is what wrote them (its identity)."""
    return [
        _pair(record, branch, number, model)
        for record in records
        for number, branch in enumerate(record.accepted)
    ]


def make_pairs(pairs: Iterable[Pair], config: PairingConfig | None = None) -> Pairing:
    """Filters, deduplicates, balances and splits; the same pairs in the same order give the same.

    Raises ValueError if none is left; the message says what they were left out for.
    """
    config = config or PairingConfig()
    left_out: Counter[str] = Counter()
    kept = list(_usable(pairs, config, left_out))
    kept = _balanced(kept, config, left_out)
    kept = _mixed(kept, config, left_out)
    chosen, held_out = _split(kept, config)
    if not chosen:
        reasons = ", ".join(f"{number} {why}" for why, number in left_out.most_common())
        raise ValueError(
            f"no pairs are left after filtering ({reasons or 'there were none to begin with'}): "
            "roll out more or other prompts, complete the store's pairs with "
            "`rerail pairs complete`, or loosen the limits"
        )
    return Pairing(tuple(chosen), tuple(held_out), dict(left_out))


def is_harmless_pair(pair: Pair) -> bool:
    """Whether it is of stage 2."""
    return pair.id.endswith(HARMLESS_ENDING)


def prompt_key(pair: Pair) -> str:
    """What pairs of the same request have in common, wherever they come from."""
    if pair.messages:
        return repr([(turn.get("role"), turn.get("content")) for turn in pair.messages])
    return pair.trace_id


def _pair(record: RolloutRecord, branch: BranchRecord, number: int, model: str) -> Pair:
    assert record.cue is not None
    keep = record.cue.keep
    shared_chars = len(record.original_text) - len(record.rejected_text)
    trace_id = f"{record.prompt.id}/{record.seed}"
    intervened_ids, intervened = branch.ids[keep:], branch.text
    original_ids, original = record.original_ids[keep:], record.rejected_text
    chosen, rejected = (intervened_ids, intervened), (original_ids, original)
    if record.harmless:
        chosen, rejected = rejected, chosen
    return Pair(
        id=f"{trace_id}-{number}{HARMLESS_ENDING if record.harmless else ''}",
        trace_id=trace_id,
        ordinal=number,
        model=model,
        messages=record.prompt.messages,
        prompt=record.prompt_text + record.original_text[:shared_chars],
        chosen=chosen[1],
        rejected=rejected[1],
        prompt_ids=record.prompt_ids + record.original_ids[:keep],
        chosen_ids=chosen[0],
        rejected_ids=rejected[0],
        # Let go on purpose some tokens past the cue, the original is as long as it is wanted.
        complete=True,
        trigger_id=branch.trigger_ids[0],
        probability=record.cue.probability,
        topic=record.prompt.topic or None,
    )


def _usable(pairs: Iterable[Pair], config: PairingConfig, left_out: Counter[str]) -> Iterable[Pair]:
    seen: set[tuple[object, ...]] = set()
    per_prompt: Counter[str] = Counter()
    for pair in pairs:
        reason = _unusable(pair, config)
        sides = (pair.prompt, pair.chosen, pair.rejected)
        if reason is None and sides in seen:
            reason = "the same as another"
        key = prompt_key(pair)
        if reason is None and config.max_per_prompt is not None:
            per_prompt[key] += 1
            if per_prompt[key] > config.max_per_prompt:
                reason = f"beyond {config.max_per_prompt} of one prompt"
        if reason is not None:
            left_out[reason] += 1
            continue
        seen.add(sides)
        yield _cut(pair, config.max_side_tokens)


def _unusable(pair: Pair, config: PairingConfig) -> str | None:
    if not pair.complete:
        return "not completed (`rerail pairs complete`)"
    if not pair.chosen_ids or not pair.rejected_ids or not pair.prompt_ids:
        return "without token ids"
    if pair.chosen_ids == pair.rejected_ids:
        return "with two sides alike"
    if config.max_prompt_tokens is not None and len(pair.prompt_ids) > config.max_prompt_tokens:
        return f"with a prefix of more than {config.max_prompt_tokens} tokens"
    return None


def _cut(pair: Pair, max_side_tokens: int | None) -> Pair:
    """The ids cut; the texts stay whole: they are for readers."""
    if max_side_tokens is None:
        return pair
    return replace(
        pair,
        chosen_ids=pair.chosen_ids[:max_side_tokens],
        rejected_ids=pair.rejected_ids[:max_side_tokens],
    )


def _balanced(pairs: Sequence[Pair], config: PairingConfig, left_out: Counter[str]) -> list[Pair]:
    """No topic of a stage has many more pairs than the others; pairs without a topic all stay."""
    if config.max_per_topic is None:
        return list(pairs)
    sizes: dict[bool, Counter[str]] = {True: Counter(), False: Counter()}
    for pair in pairs:
        if pair.topic is not None:
            sizes[is_harmless_pair(pair)][pair.topic] += 1
    limits = {
        stage: round(config.max_per_topic * sorted(found.values())[len(found) // 2])
        for stage, found in sizes.items()
        if found
    }
    taken: Counter[tuple[bool, str]] = Counter()
    kept = []
    for pair in _shuffled(pairs, config, "topics"):
        if pair.topic is not None:
            stage = is_harmless_pair(pair)
            taken[stage, pair.topic] += 1
            if taken[stage, pair.topic] > limits[stage]:
                left_out["of a topic that has many"] += 1
                continue
        kept.append(pair)
    return _in_order_of(pairs, kept)


def _mixed(pairs: Sequence[Pair], config: PairingConfig, left_out: Counter[str]) -> list[Pair]:
    """As many harmless pairs as the ratio asks for, first those against refusals that the model
    wrote by itself: there are few, and they are what it has to unlearn."""
    if config.harmless_ratio is None:
        return list(pairs)
    harmless = [pair for pair in pairs if is_harmless_pair(pair)]
    harmful = len(pairs) - len(harmless)
    wanted = round(config.harmless_ratio * harmful) if harmful else len(harmless)
    if len(harmless) <= wanted:
        return list(pairs)
    left_out["harmless, beyond the ratio"] += len(harmless) - wanted
    order = sorted(_shuffled(harmless, config, "ratio"), key=lambda pair: pair.trigger_id != OWN)
    dropped = {pair.id for pair in order[wanted:]}
    return [pair for pair in pairs if pair.id not in dropped or not is_harmless_pair(pair)]


def _split(pairs: Sequence[Pair], config: PairingConfig) -> tuple[list[Pair], list[Pair]]:
    """By prompt: no request is on both sides, whatever else is drawn."""
    sides: tuple[list[Pair], list[Pair]] = ([], [])
    for pair in pairs:
        place = seed_of("split", config.seed, prompt_key(pair)) / 2**63
        sides[place < config.held_out].append(pair)
    return sides


def _shuffled(pairs: Sequence[Pair], config: PairingConfig, what: str) -> list[Pair]:
    mixed = list(pairs)
    Random(f"{what}/{config.seed}").shuffle(mixed)
    return mixed


def _in_order_of(pairs: Sequence[Pair], kept: Sequence[Pair]) -> list[Pair]:
    identities = {id(pair) for pair in kept}
    return [pair for pair in pairs if id(pair) in identities]
