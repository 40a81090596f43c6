"""Looks through an ONNX graph before onnxruntime gets it: a straight line of operators on dense
tensors, or it is refused.

A loop need not end, and a sparse tensor of a few bytes unpacks to any size while it is loaded;
nothing that `rerail distill` makes has either. What the operators then take is bounded where they
run (inference.py). The file's structure is Protocol Buffers', of which only field numbers and
lengths are read: weights are stepped over, so a graph of 64 MiB takes milliseconds.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

_MAX_NODES = 1 << 14
_MAX_VARINT_BYTES = 10
_VARINT, _FIXED_64, _BYTES, _FIXED_32 = 0, 1, 2, 5
"""Wire types; groups (3 and 4) have not been written for many years."""

_TAG_BITS = 0xFFFF_FFFF
"""Readers drop what a tag has beyond them: with them dropped here too, both read the same field."""


@dataclass(frozen=True, slots=True)
class _Message:
    """What matters of one kind of message in onnx.proto3, by field number."""

    refused: dict[int, str]
    """Fields that no student has, and what they are."""

    entered: "dict[int, _Message]"
    """Fields that hold further messages."""


_ATTRIBUTE = _Message(
    {
        6: "a loop or a branch",  # g
        11: "a loop or a branch",  # graphs
        22: "a sparse tensor",  # sparse_tensor
        23: "a sparse tensor",  # sparse_tensors
    },
    {},
)
_NODE = _Message({}, {5: _ATTRIBUTE})
_GRAPH = _Message({15: "a sparse tensor"}, {1: _NODE})
_MODEL = _Message({25: "a function of its own"}, {7: _GRAPH})

_Field: TypeAlias = tuple[int, int, int]


class GraphRefused(ValueError):
    """A graph that no student needs, or bytes that are none; the message says what was found."""


def check_graph(model: bytes) -> None:
    """Raises `GraphRefused` for a graph (a serialised `ModelProto`) with loops, branches, functions
    of its own or sparse tensors, one of more than 16,384 operators, and for damaged bytes."""
    waiting = [(_MODEL, 0, len(model))]
    num_nodes = 0
    while waiting:
        message, start, end = waiting.pop()
        num_nodes += message is _NODE
        if num_nodes > _MAX_NODES:
            raise GraphRefused(f"it has more than {_MAX_NODES} operators")
        for number, begin, stop in _fields(model, start, end):
            if number in message.refused:
                raise GraphRefused(f"it has {message.refused[number]}, as no student has")
            if number in message.entered:
                waiting.append((message.entered[number], begin, stop))


def _fields(data: bytes, start: int, end: int) -> Iterator[_Field]:
    """Number, begin and end of each field's content in one message."""
    while start < end:
        key, start = _varint(data, start, end)
        kind = key & 7
        begin = start
        if kind == _VARINT:
            _, start = _varint(data, start, end)
        elif kind == _BYTES:
            length, begin = _varint(data, start, end)
            start = begin + length
        elif kind in (_FIXED_64, _FIXED_32):
            start += 8 if kind == _FIXED_64 else 4
        else:
            raise GraphRefused("its bytes are no ONNX graph")
        if start > end:
            raise GraphRefused("its bytes are cut off")
        yield (key & _TAG_BITS) >> 3, begin, start


def _varint(data: bytes, start: int, end: int) -> tuple[int, int]:
    """The number that begins at `start`, and where it ends."""
    value = 0
    for position in range(start, min(end, start + _MAX_VARINT_BYTES)):
        value |= (data[position] & 0x7F) << 7 * (position - start)
        if data[position] < 0x80:
            return value, position + 1
    raise GraphRefused("its bytes are cut off")
