"""Pairs and a model folder for the trainer's tests."""

from pathlib import Path
from random import Random

from tiny_models import tiny_model, tiny_tokenizer

from rerail.guard.pairs import Pair


def save_tiny(folder: Path, name: str = "qwen3") -> Path:
    """A model folder as a user has one; the shared model itself is never trained."""
    tiny_model(name).save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    return folder


def id_pairs(num: int, seed: int = 0) -> list[Pair]:
    """Pairs of random ids with prefixes and sides of many lengths; some end with the end token."""
    rng, tokenizer = Random(seed), tiny_tokenizer()

    def ids(low: int, high: int) -> tuple[int, ...]:
        return tuple(rng.randrange(10, 300) for _ in range(rng.randint(low, high)))

    pairs = []
    for number in range(num):
        end = (tokenizer.eos_token_id,) if number % 2 else ()
        sides = ids(4, 12), ids(3, 9) + end, ids(5, 14) + end
        texts = [tokenizer.decode([*side]) for side in sides]
        pairs.append(pair(f"p{number}", *sides, texts=texts))
    return pairs


def pair(
    name: str,
    prompt: tuple[int, ...],
    chosen: tuple[int, ...],
    rejected: tuple[int, ...],
    *,
    texts: list[str] | None = None,
    complete: bool = True,
) -> Pair:
    texts = texts or ["", "", ""]
    return Pair(
        id=name,
        trace_id=name,
        ordinal=0,
        model="tiny@test",
        messages=({"role": "user", "content": "hi"},),
        prompt=texts[0],
        chosen=texts[1],
        rejected=texts[2],
        prompt_ids=prompt,
        chosen_ids=chosen,
        rejected_ids=rejected,
        complete=complete,
        trigger_id="t",
        probability=0.9,
    )
