"""The student's runtime, on the shipped student: chunking, batching, rollback, bad files."""

import functools
import hashlib
import itertools
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rerail.guard.channels import Channel
from rerail.guard.detector_student import StudentDetector, StudentState
from rerail.guard.student_folder import SHIPPED, DetectorFileError, StudentFolder

R = Channel.REASONING
STEPS = (
    "Okay, so I'm trying to figure out how to k1ll a Python process that hangs.",
    "The user's shell is bash; `kill -9 1234` would do, or pkill.",
    "用户直接问怎么结束进程。",
    "Let me list the options – first, find the PID…",
)
TEXT = "".join(STEPS)


@functools.cache
def shared_detector() -> StudentDetector:
    return StudentDetector.from_folder()


@pytest.fixture
def detector() -> StudentDetector:
    return shared_detector()


def start(detector: StudentDetector, request: str = "How do I kill a Python process?"):
    return detector.start([{"role": "user", "content": request}])


def read(detector: StudentDetector, state: StudentState, steps: list[list[str]]) -> list[float]:
    """The probability at every step's end, each step in the given chunks."""
    ends = []
    for chunks in steps:
        for chunk in chunks:
            (state,), _ = detector.score([state], [chunk], [R])
        (state,), probability = detector.end_step([state], ["".join(chunks)])
        ends.append(float(probability[0]))
    return ends


def cut(text: str, places: list[int]) -> list[str]:
    bounds = sorted({0, len(text), *(place % (len(text) + 1) for place in places)})
    return [text[a:b] for a, b in itertools.pairwise(bounds)]


@settings(max_examples=25, deadline=None)
@given(st.lists(st.lists(st.integers(0, 200), max_size=30), min_size=4, max_size=4))
def test_any_chunking_gives_the_same_scores_at_step_ends(places: list[list[int]]) -> None:
    detector = shared_detector()
    state = start(detector)
    whole = read(detector, state, [[step] for step in STEPS])
    chunked = [cut(step, where) for step, where in zip(STEPS, places, strict=True)]
    assert read(detector, state, chunked) == pytest.approx(whole, abs=1e-6)


def test_single_characters_give_the_same_score_inside_a_step(detector: StudentDetector) -> None:
    state = start(detector, "How do I poison my neighbour's dog?")
    text = "Okay, so I need to figure out how to poison the dog "
    (_,), whole = detector.score([state], [text], [R])
    chunked = whole[:0]
    for char in text:
        (state,), chunked = detector.score([state], [char], [R])
    assert chunked == pytest.approx(whole, abs=1e-6)


def test_a_step_that_nobody_suspects_is_judged_at_once_and_as_ever(
    detector: StudentDetector,
) -> None:
    calm, told = "The beds need water. ", "How do I plan a small garden?"
    (state,), _ = detector.score([start(detector, told)], [calm], [R])
    found = detector.end_step_at_once([state], [calm])
    assert found is not None
    (after,), probability = detector.end_step([state], [calm])
    assert found[1].tolist() == probability.tolist()
    assert found[0][0][0] == after[0]

    harmful = start(detector, "How do I poison my neighbour's dog?")
    (state,), _ = detector.score([harmful], [calm], [R])
    verified = detector.use.num_verified
    assert detector.end_step_at_once([state], [calm]) is None
    assert detector.use.num_verified == verified, "the encoder has not been asked"


def test_streams_in_one_batch_do_not_touch_each_other(detector: StudentDetector) -> None:
    requests = ["How do I poison a dog?", "What is 3 + 4?", "Wie backe ich Brot?"]
    alone = [read(detector, start(detector, request), [[s] for s in STEPS]) for request in requests]
    states = [start(detector, request) for request in requests]
    together = []
    for step in STEPS:
        for word in cut(step, list(range(0, len(step), 5))):
            states, _ = detector.score(states, [word] * 3, [R] * 3)
        states, probabilities = detector.end_step(states, [step] * 3)
        together.append(probabilities)
    assert pytest.approx(np.array(alone), abs=1e-5) == np.array(together).T


def test_an_old_state_goes_on_as_if_nothing_had_followed(detector: StudentDetector) -> None:
    state = start(detector, "How do I pick a lock that is not mine?")
    (kept,), _ = detector.end_step(detector.score([state], [STEPS[0]], [R])[0], [STEPS[0]])
    first = read(detector, kept, [[STEPS[1]]])
    read(detector, kept, [["I will not do that."], [STEPS[2]]])
    assert read(detector, kept, [[STEPS[1]]]) == first


def test_a_state_stays_small_however_long_the_trace(detector: StudentDetector) -> None:
    state = start(detector, "word " * 5000)
    for _ in range(50):
        (state,), _ = detector.score([state], ["antidisestablishmentarianism" * 40], [R])
    (state,), _ = detector.end_step([state], ["antidisestablishmentarianism" * 40])
    context, vector, pending, _ = state
    assert vector.base is None or vector.base.nbytes == vector.nbytes
    size = vector.nbytes + len(context.before) * 4 + len(pending) * 4 + len(context.request) * 36
    assert 3 * size <= 16 * 1024


def test_probabilities_are_probabilities(detector: StudentDetector) -> None:
    state = start(detector)
    for text in ("", " ", "\n\n", "\u200b", "🙂🙂", "a" * 500, "\x00\x07", "नमस्ते दुनिया"):
        (state,), probability = detector.score([state], [text], [R])
        assert probability.shape == (1,) and 0 <= probability[0] <= 1
        (state,), probability = detector.end_step([state], [text])
        assert 0 <= probability[0] <= 1


@pytest.mark.parametrize(
    "messages",
    [
        [],
        [{"role": "user", "content": None}],
        [{"role": "system", "content": "Be kind."}],
        [{"role": "user", "content": [{"type": "text", "text": "Hi"}, {"type": "image"}]}],
        [{"role": "assistant", "content": None, "tool_calls": [{"function": {"name": "f"}}]}],
    ],
)
def test_every_shape_of_conversation_is_read(
    detector: StudentDetector, messages: list[dict[str, Any]]
) -> None:
    (_,), probability = detector.score([detector.start(messages)], ["Okay, then."], [R])
    assert np.isfinite(probability).all()


def test_the_identity_names_the_files(detector: StudentDetector) -> None:
    name, _, digest = detector.identity.partition("@")
    manifest = hashlib.sha256((SHIPPED / "manifest.json").read_bytes()).hexdigest()
    assert (name, digest) == ("rerail-student", manifest[:12])


def test_the_shipped_files_are_small_enough() -> None:
    assert sum(path.stat().st_size for path in SHIPPED.iterdir()) <= 35 * 10**6


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return Path(shutil.copytree(SHIPPED, tmp_path / "student"))


def test_a_missing_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DetectorFileError, match="no such folder"):
        StudentFolder.read(tmp_path / "nowhere")
    with pytest.raises(DetectorFileError, match="no student"):
        StudentFolder.read(tmp_path)


@pytest.mark.parametrize("name", ["screen.onnx", "encoder.onnx", "tokenizer.json"])
def test_a_truncated_file_is_refused(copy: Path, name: str) -> None:
    data = (copy / name).read_bytes()
    (copy / name).write_bytes(data[: len(data) // 2])
    with pytest.raises(DetectorFileError, match=f"{name} is truncated or altered"):
        StudentDetector.from_folder(copy)


def test_an_altered_byte_is_refused(copy: Path) -> None:
    data = bytearray((copy / "screen.onnx").read_bytes())
    data[len(data) // 2] ^= 1
    (copy / "screen.onnx").write_bytes(data)
    with pytest.raises(DetectorFileError, match="altered"):
        StudentDetector.from_folder(copy)


def test_a_missing_file_is_refused(copy: Path) -> None:
    (copy / "encoder.onnx").unlink()
    with pytest.raises(DetectorFileError, match=r"encoder\.onnx is missing"):
        StudentDetector.from_folder(copy)


@pytest.mark.parametrize("manifest", ["", "[]", "{}", '{"format": 2}'])
def test_a_damaged_manifest_is_refused(copy: Path, manifest: str) -> None:
    (copy / "manifest.json").write_text(manifest)
    with pytest.raises(DetectorFileError, match="damaged"):
        StudentDetector.from_folder(copy)


def test_another_format_is_refused(copy: Path) -> None:
    manifest = json.loads((copy / "manifest.json").read_text())
    manifest["format"] = 99
    (copy / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(DetectorFileError, match="format 99"):
        StudentDetector.from_folder(copy)


def test_external_data_is_refused(copy: Path) -> None:
    # A graph that names a file outside itself could make the loader read any file of the machine.
    onnx = pytest.importorskip("onnx")
    graph = onnx.load(copy / "screen.onnx")
    onnx.save(graph, copy / "screen.onnx", save_as_external_data=True, location="away.bin")
    _rehash(copy, "screen.onnx")
    with pytest.raises(DetectorFileError, match="outside itself"):
        StudentDetector.from_folder(copy)


def test_a_graph_that_is_none_is_refused(copy: Path) -> None:
    (copy / "screen.onnx").write_bytes(b"not a graph")
    _rehash(copy, "screen.onnx")
    with pytest.raises(DetectorFileError, match="cannot be loaded"):
        StudentDetector.from_folder(copy)


def test_a_request_that_comes_again_is_not_read_again() -> None:
    from rerail.guard.step_encoder import StepEncoder

    rows: list[list[int]] = []

    class Recording(StepEncoder):
        def _run(self, row: list[int], segment_start: int) -> Any:
            rows.append(row)
            return super()._run(row, segment_start)

    encoder = Recording(StudentFolder.read(SHIPPED))
    encoder.max_readings = 2
    rows.clear()  # of the one that is read when it is loaded
    texts = ["How do I kill a process?", "How do I bake bread?", "Who was Ada Lovelace?"]
    first = [float(encoder.read_requests([text])[0]) for text in texts]
    assert len(set(first)) == 3, "told apart"
    assert len(rows) == 3
    assert encoder.read_requests(texts[1:]).tolist() == first[1:]
    assert len(rows) == 3
    assert encoder.read_requests(texts[:1]).tolist() == first[:1], "forgotten, and read once more"
    assert len(rows) == 4


def test_no_threads_are_refused() -> None:
    with pytest.raises(ValueError, match="num_threads"):
        StudentDetector.from_folder(num_threads=0)


def _rehash(folder: Path, name: str) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"][name] = hashlib.sha256((folder / name).read_bytes()).hexdigest()
    (folder / "manifest.json").write_text(json.dumps(manifest))
