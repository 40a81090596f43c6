"""How far two sequences agree from their start on."""

from collections.abc import Sequence


def num_shared(one: Sequence[object], other: Sequence[object]) -> int:
    """How many items (characters of a text, ids of tokens) both begin with."""
    shortest = min(len(one), len(other))
    return next((at for at in range(shortest) if one[at] != other[at]), shortest)
