"""Students from elsewhere whose manifest fits their files: what cannot be run is refused in a
sentence, and no graph reaches outside its own bytes.

A hash only says that a file is the one that its folder's maker meant.
"""

import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from fuzzing import fuzz, sentence
from hypothesis import strategies as st

from rerail.guard.channels import Channel
from rerail.guard.detector_student import StudentDetector
from rerail.guard.graph_check import GraphRefused, check_graph
from rerail.guard.student_folder import MANIFEST, SHIPPED, DetectorFileError, StudentFolder

STUDENT = StudentFolder.read(SHIPPED)
# Where names, kinds and sizes are, and not weights: a change there is one that matters.
_NAMED = re.compile(rb"[\x0a\x12\x1a\x22][\x01-\x40][a-zA-Z_./]{3,}")
_WEIGHTS = ("recurrent", "recurrent_bias", "heads", "heads_bias")
SPOTS = {
    name: [found.start() for found in _NAMED.finditer(data)]
    for name, data in (("screen", STUDENT.screen), ("encoder", STUDENT.encoder))
}


def runs(student: StudentFolder) -> None:
    """Loads it and lets it judge a step, as far as it comes to that."""
    try:
        detector = StudentDetector(student)
    except DetectorFileError as error:
        sentence(error)
        return
    state = detector.start([{"role": "user", "content": "How do I forge a pass?"}])
    states, _ = detector.score([state], ["First I will "], [Channel.REASONING])
    detector.end_step(states, ["First I will outline it."])


@fuzz(data=st.data(), name=st.sampled_from(["screen", "screen", "screen", "encoder"]))
def test_a_graph_runs_or_is_refused(name: str, data: st.DataObject) -> None:
    graph = bytearray(getattr(STUDENT, name))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.sampled_from(SPOTS[name])) + data.draw(st.integers(-12, 30))
        put = data.draw(st.binary(min_size=1, max_size=8) | st.just(b"\xff" * 8))
        instead = data.draw(st.booleans())
        graph[at : at + (len(put) if instead else 0)] = put
    if data.draw(st.integers(0, 3)) == 0:
        del graph[data.draw(st.integers(0, len(graph))) :]
    try:
        runs(replace(STUDENT, **{name: bytes(graph)}))
    except Exception as error:
        # A graph that loads may still fail at its work: a guard then fails closed.
        assert "onnxruntime" in type(error).__module__ or isinstance(error, ValueError), error


def _screen(nodes: list[Any], tensors: list[Any]) -> Any:
    """A model with a screen's inputs and outputs; its weights are the sum of what `nodes` give as
    `big`."""
    onnx = pytest.importorskip("onnx")
    helper, kinds = onnx.helper, onnx.TensorProto
    nodes = [
        *nodes,
        helper.make_node("ReduceSum", ["big"], ["sum"], keepdims=0),
        *(helper.make_node("Identity", ["sum"], [name]) for name in _WEIGHTS),
    ]
    inputs = [
        helper.make_tensor_value_info("words", kinds.INT64, [None, 6]),
        helper.make_tensor_value_info("gates", kinds.FLOAT, [None, 12]),
        helper.make_tensor_value_info("state", kinds.FLOAT, [None, 4]),
    ]
    outputs = [helper.make_tensor_value_info(name, kinds.FLOAT, None) for name in _WEIGHTS]
    made = helper.make_graph(nodes, "g", inputs, outputs, tensors)
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def _graph(dims: list[int]) -> bytes:
    onnx = pytest.importorskip("onnx")
    shape = onnx.helper.make_tensor("shape", onnx.TensorProto.INT64, [len(dims)], dims)
    nodes = [onnx.helper.make_node("ConstantOfShape", ["shape"], ["big"])]
    return _screen(nodes, [shape]).SerializeToString()


@pytest.mark.parametrize("dims", [[1 << 29], [1 << 45], [1 << 62], [-1], [1 << 31] * 3])
def test_absurd_sizes(dims: list[int], capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(DetectorFileError) as caught:
        StudentDetector(replace(STUDENT, screen=_graph(dims)))
    sentence(caught.value)
    assert capfd.readouterr().out == ""  # onnxruntime is fond of writing there


def _hostile(kind: str) -> bytes:
    """A graph of a few hundred KB at most that would take gigabytes, or never end."""
    onnx = pytest.importorskip("onnx")
    helper, kinds = onnx.helper, onnx.TensorProto
    few, many = [1, 40_000], [40_000, 1]
    tensors = [
        helper.make_tensor(name, kinds.FLOAT, dims, bytes(4 * 40_000), raw=True)
        for name, dims in (("row", few), ("column", many))
    ]
    one = helper.make_tensor("one", kinds.FLOAT, [1], [1.0])
    at = helper.make_tensor("at", kinds.INT64, [1], [0])
    sparse = helper.make_sparse_tensor(one, at, [1 << 31])
    nodes: list[Any] = [helper.make_node("Identity", ["state"], ["big"])]
    if kind == "crosswise":
        nodes = [helper.make_node("Add", ["row", "column"], ["big"])]
    elif kind == "doubling":
        names = ["row", *(f"twice_{number}" for number in range(20)), "big"]
        nodes = [
            helper.make_node("Concat", [before, before], [after], axis=0)
            for before, after in pairwise(names)
        ]
    elif kind == "sparse constant":
        nodes = [helper.make_node("Constant", [], ["big"], sparse_value=sparse)]
    elif kind == "loop":
        inner = [("round", kinds.INT64), ("goes_on", kinds.BOOL)]
        body = helper.make_graph(
            [helper.make_node("Identity", ["goes_on"], ["still"])],
            "body",
            [helper.make_tensor_value_info(name, each, []) for name, each in inner],
            [helper.make_tensor_value_info("still", kinds.BOOL, [])],
        )
        nodes = [helper.make_node("Loop", ["", "true"], [], body=body), *nodes]
    true = helper.make_tensor("true", kinds.BOOL, [], [True])
    model = _screen(nodes, [*tensors, true])
    if kind == "sparse weight":
        model.graph.sparse_initializer.append(sparse)
    if kind == "function":
        opsets = [helper.make_opsetid("", 17)]
        model.functions.append(helper.make_function("own", "F", [], [], [], opsets))
    return model.SerializeToString()


@pytest.mark.parametrize(
    ("kind", "found"),
    [
        ("crosswise", "memory"),
        ("doubling", "memory"),
        ("sparse constant", "a sparse tensor"),
        ("sparse weight", "a sparse tensor"),
        ("loop", "a loop or a branch"),
        ("function", "a function of its own"),
    ],
)
def test_a_small_graph_gets_no_gigabytes_and_has_an_end(kind: str, found: str) -> None:
    with pytest.raises(DetectorFileError, match=found) as caught:
        StudentDetector(replace(STUDENT, screen=_hostile(kind)))
    sentence(caught.value)


def test_a_field_is_found_however_its_number_is_written() -> None:
    """Readers of Protocol Buffers drop a tag's bits beyond 32."""
    sparse = 15 << 3 | 2 | 1 << 33
    tag = bytes([sparse & 0x7F | 0x80, *(sparse >> 7 * at & 0x7F | 0x80 for at in (1, 2, 3))])
    field = tag + bytes([sparse >> 28 & 0x7F]) + b"\0"
    with pytest.raises(GraphRefused, match="sparse"):
        check_graph(b"\x3a" + bytes([len(field)]) + field)


@fuzz(data=st.binary(max_size=80))
def test_bytes_are_looked_through_or_refused(data: bytes) -> None:
    for graph in (data, b"\x3a" + bytes([len(data)]) + data):
        try:
            check_graph(graph)
        except GraphRefused as error:
            assert str(error).startswith("it")


def _folder_with(folder: Path, name: str, data: bytes) -> Path:
    """A student's folder with this file in it, and a manifest that says so."""
    manifest = json.loads((SHIPPED / MANIFEST).read_text())
    for each in manifest["files"]:
        (folder / each).symlink_to(SHIPPED / each)
    (folder / name).unlink()
    (folder / name).write_bytes(data)
    manifest["files"][name] = hashlib.sha256(data).hexdigest()
    (folder / MANIFEST).write_text(json.dumps(manifest))
    return folder


@pytest.mark.parametrize(
    "written",
    [
        b"\x0a\x08location\x12\x0b/etc/passwd",
        b"\x0a\x88\x00location\x12\x0b../../x.bin",  # the same length, said at length
        b"\x8a\x00\x88\x80\x80\x00location\x12\x01x",
    ],
)
def test_data_outside_the_file_is_refused_however_it_is_written(
    tmp_path: Path, written: bytes
) -> None:
    folder = _folder_with(tmp_path, "encoder.onnx", STUDENT.encoder + written)
    with pytest.raises(DetectorFileError, match="outside itself"):
        StudentFolder.read(folder)


def _too_long(folder: Path) -> None:
    _sparse(folder / "screen.onnx", (64 << 20) + 1)


def _sparse(path: Path, size: int) -> None:
    path.unlink()
    with path.open("wb") as file:
        file.truncate(size)


def _long_manifest(folder: Path) -> None:
    _sparse(folder / MANIFEST, 1 << 30)


def _other_names(folder: Path) -> None:
    """Only the three names are ever opened, whatever a manifest lists."""
    manifest: dict[str, Any] = json.loads((folder / MANIFEST).read_text())
    manifest["files"] = {f"../{name}": each for name, each in manifest["files"].items()}
    (folder / MANIFEST).write_text(json.dumps(manifest))


@pytest.mark.parametrize(
    ("spoil", "words"),
    [(_too_long, "more than"), (_long_manifest, "more than"), (_other_names, "damaged")],
)
def test_sizes_and_names_are_bounded(
    tmp_path: Path, spoil: Callable[[Path], None], words: str
) -> None:
    folder = _folder_with(tmp_path, "screen.onnx", STUDENT.screen)
    spoil(folder)
    with pytest.raises(DetectorFileError, match=words):
        StudentFolder.read(folder)
