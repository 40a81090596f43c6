"""From pairs to the rows that are trained on: exact ids, length caps, order; all counted.

The order over all epochs is fixed before training, so that a run that is resumed, or split over
several processes, sees the same pairs in the same batches.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from ..guard.pairs import Pair
from .preference_config import Arm, PreferenceConfig

_MEGABATCH = 16
"""Batches that are sorted by length together."""
_CHECKED = 5
"""Pairs whose ids are read back, to see that they are of this tokenizer."""


@dataclass(frozen=True, slots=True)
class PreferenceRow:
    """What is trained on for one pair; every token of both sides carries loss, no other does."""

    prompt_ids: tuple[int, ...]
    chosen_ids: tuple[int, ...]
    rejected_ids: tuple[int, ...]
    """Empty where only the chosen side is learned."""


@dataclass(frozen=True, slots=True)
class PreferenceRows:
    """The rows, and what became of the other pairs."""

    rows: tuple[PreferenceRow, ...]
    left_out: dict[str, int]
    """Number of pairs by reason."""

    from_text: int
    """Pairs without ids: their texts were tokenised piece by piece, without an end token."""

    cut: int
    """Pairs of which a side was cut to length."""


def rows_of(pairs: Iterable[Pair], tokenizer: Any, config: PreferenceConfig) -> PreferenceRows:
    """Rows out of pairs.

    Raises ValueError if the pairs belong to another model, or none is left; the message counts
    what was left out.
    """
    rows: list[PreferenceRow] = []
    left_out: Counter[str] = Counter()
    from_text = cut = 0
    pairs = list(pairs)
    _check_same_tokenizer(pairs, tokenizer)
    opening = opening_ids(tokenizer) if config.arm in (Arm.WHOLE, Arm.SFT) else ()
    for pair in pairs:
        row, was_text = _ids_of(pair, tokenizer)
        from_text += was_text
        reason = _unusable(pair, row, config)
        short = _capped(row, config)  # counted from the divergence on, whatever is learned
        was_cut = short != row
        if reason is None and opening:
            whole = _whole(short, opening)
            reason, short = (None, whole) if whole else ("no request found in its prefix", short)
        if reason is not None:
            left_out[reason] += 1
            continue
        cut += was_cut
        if config.arm is Arm.SFT:
            short = PreferenceRow(short.prompt_ids, short.chosen_ids, ())
        rows.append(short)
    if not rows:
        counts = ", ".join(f"{number} {why}" for why, number in left_out.items())
        raise ValueError(
            f"no pairs are left to train on ({counts or 'there were none to begin with'}): "
            "make more with `rerail train rollouts`, or raise the length limits"
        )
    return PreferenceRows(tuple(rows), dict(left_out), from_text, cut)


def opening_ids(tokenizer: Any) -> tuple[int, ...]:
    """The ids with which the chat template opens the model's turn.

    Raises ValueError for a tokenizer without a chat template, or one that opens no turn.
    """
    if getattr(tokenizer, "chat_template", None) is None:
        raise ValueError(
            "the tokenizer has no chat template, so the end of the request cannot be found: set "
            "tokenizer.chat_template, or train the arm `intervened`, which does not need it"
        )
    asked = [{"role": "user", "content": "?"}]
    bare, opened = (
        str(tokenizer.apply_chat_template(asked, tokenize=False, add_generation_prompt=opens))
        for opens in (False, True)
    )
    ids = tokenizer(opened[len(bare) :], add_special_tokens=False)["input_ids"]
    if not opened.startswith(bare) or not ids:
        raise ValueError("the chat template does not open a turn (add_generation_prompt)")
    return tuple(ids)


def training_order(lengths: Sequence[int], batch_size: int, epochs: float, seed: int) -> list[int]:
    """Row numbers over all epochs: shuffled, then alike in length within a batch."""
    order: list[int] = []
    whole = len(lengths)
    for epoch in range(int(-(-epochs // 1))):
        rng = Random(f"order/{seed}/{epoch}")
        shuffled = list(range(whole))
        rng.shuffle(shuffled)
        for start in range(0, whole, batch_size * _MEGABATCH):
            part = shuffled[start : start + batch_size * _MEGABATCH]
            part.sort(key=lambda row: lengths[row])
            batches = [part[at : at + batch_size] for at in range(0, len(part), batch_size)]
            last = batches.pop() if len(batches[-1]) < batch_size else []
            rng.shuffle(batches)
            order += [row for batch in [*batches, last] for row in batch]
    return order[: max(1, round(whole * epochs))]


def _ids_of(pair: Pair, tokenizer: Any) -> tuple[PreferenceRow, bool]:
    if pair.prompt_ids and pair.chosen_ids and pair.rejected_ids:
        return PreferenceRow(pair.prompt_ids, pair.chosen_ids, pair.rejected_ids), False
    prompt, chosen, rejected = (
        tuple(tokenizer(text, add_special_tokens=False)["input_ids"]) if text else ()
        for text in (pair.prompt, pair.chosen, pair.rejected)
    )
    return PreferenceRow(prompt, chosen, rejected), True


def _unusable(pair: Pair, row: PreferenceRow, config: PreferenceConfig) -> str | None:
    if not pair.complete:
        return "with a rejected side that was cut off (`rerail pairs complete`)"
    if not row.prompt_ids:
        return "without a prompt"
    if not row.chosen_ids or not row.rejected_ids:
        return "with an empty side"
    if row.chosen_ids == row.rejected_ids:
        return "whose sides are the same"
    if config.max_length is not None and len(row.prompt_ids) >= config.max_length:
        return f"whose prefix fills max_length ({config.max_length})"
    return None


def _capped(row: PreferenceRow, config: PreferenceConfig) -> PreferenceRow:
    room = config.first_tokens
    if config.max_length is not None:
        left = config.max_length - len(row.prompt_ids)
        room = left if room is None else min(room, left)
    return PreferenceRow(row.prompt_ids, row.chosen_ids[:room], row.rejected_ids[:room])


def _whole(row: PreferenceRow, opening: tuple[int, ...]) -> PreferenceRow | None:
    """The row with the whole response on both sides, or None where no turn is opened."""
    prompt = row.prompt_ids
    for start in range(len(prompt) - len(opening), -1, -1):
        if prompt[start : start + len(opening)] == opening:
            split = start + len(opening)
            begun = prompt[split:]
            return PreferenceRow(prompt[:split], begun + row.chosen_ids, begun + row.rejected_ids)
    return None


def _check_same_tokenizer(pairs: Sequence[Pair], tokenizer: Any) -> None:
    num_tokens = len(tokenizer)
    for pair in pairs:
        for ids in (pair.prompt_ids, pair.chosen_ids, pair.rejected_ids):
            if ids and max(ids) >= num_tokens:
                raise ValueError(
                    f"pair {pair.id} of {pair.model} holds token id {max(ids)}, but this model has "
                    f"{num_tokens}: its ids are of another model; train that one, or drop the ids"
                )
    checked = [pair for pair in pairs if pair.prompt_ids and pair.chosen_ids][:_CHECKED]
    if checked and not any(_reads_back(pair, tokenizer) for pair in checked):
        raise ValueError(
            f"the token ids of pair {checked[0].id} ({checked[0].model}) do not read as its text "
            "with this model's tokenizer: they are of another model; train that one, or drop them"
        )


def _reads_back(pair: Pair, tokenizer: Any) -> bool:
    """Compared without white space and special tokens, which texts may or may not hold."""
    read = tokenizer.decode([*pair.chosen_ids], skip_special_tokens=True)
    kept = "".join(pair.chosen.split())
    return "".join(read.split())[:40] in kept or not pair.chosen
