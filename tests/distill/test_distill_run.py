"""One whole distillation with a tiny random encoder, its parity, its resumption, its report."""

# pyright: reportPrivateUsage=false

import json
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from tiny_traces import HARMLESS, PLACES, trace_line, write_trace_file
from tokenizers import Tokenizer
from transformers import BertModel

from rerail.distill.config import DistillConfig
from rerail.distill.encoder_fit import EncoderFit, Lengths, RowMaker
from rerail.distill.encoder_model import EncoderModel
from rerail.distill.export import export_encoder
from rerail.distill.report import ReportConfig, report
from rerail.distill.run import distill
from rerail.distill.screen_fit import ScreenFit, UnitReader
from rerail.distill.screen_model import ScreenModel, reduced_vectors
from rerail.guard.channels import Channel
from rerail.guard.detector_student import StudentDetector
from rerail.guard.student_folder import SHIPPED
from rerail.guard.word_units import split_units


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory, encoder: Path) -> DistillConfig:
    folder = tmp_path_factory.mktemp("run")
    write_trace_file(folder / "traces.jsonl")
    return DistillConfig(
        out=folder / "out",
        traces=(folder / "traces.jsonl",),
        encoder=str(encoder),
        num_folds=3,
        num_tries=40,
        num_drills=20,
        encoder_fit=EncoderFit(num_epochs=1),
        screen_fit=ScreenFit(width=16, dimensions=16, num_epochs=2),
    )


@pytest.fixture(scope="module")
def student(config: DistillConfig) -> Path:
    return distill(config)


def test_a_distillation_gives_a_student_that_runs(student: Path) -> None:
    detector = StudentDetector.from_folder(student)
    state = detector.start([{"role": "user", "content": "How do I rob the bank?"}])
    (state,), _ = detector.score([state], ["First, I'll plan how to do it."], [Channel.REASONING])
    (_,), probability = detector.end_step([state], ["First, I'll plan how to do it."])
    assert 0 < probability[0] < 1
    assert 0.05 <= detector.thresholds.reasoning.end <= detector.thresholds.reasoning.inside


def test_a_run_goes_on_and_never_with_other_settings(config: DistillConfig, student: Path) -> None:
    fitted = (config.out / "encoder.pt").stat().st_mtime_ns
    manifest = (student / "manifest.json").read_text()
    assert distill(config) == student
    assert (config.out / "encoder.pt").stat().st_mtime_ns == fitted
    assert (student / "manifest.json").read_text() == manifest
    with pytest.raises(ValueError, match="run with another"):
        distill(replace(config, harmless_limit=0.5))


def test_the_screen_is_that_of_torch_over_whole_traces(
    config: DistillConfig, student: Path
) -> None:
    detector = StudentDetector.from_folder(student)
    tokenizer = Tokenizer.from_file(str(SHIPPED / "tokenizer.json"))
    bert = BertModel.from_pretrained(config.encoder)
    vectors = bert.embeddings.word_embeddings.weight.detach().numpy()
    model = ScreenModel(reduced_vectors(vectors, 16), 16)
    model.load_state_dict(torch.load(config.out / "screen.pt", weights_only=True))
    model.eval()
    steps = [
        "Okay, so k1ll the pr\u200bocess – how?",
        "用户直接问。",
        "Then the next part of it.",
    ] * 20
    reader = UnitReader(tokenizer)
    rows = [row for step in steps for row in reader.pieces(step)]
    with torch.inference_mode():
        expected = model(torch.tensor([rows]))[0][0].numpy()
    graph: Any = onnxruntime.InferenceSession(str(student / "screen.onnx"))
    blank = np.zeros((1, 16), np.float32)
    no_gates = np.zeros((1, 48), np.float32)
    words = np.array([rows[0]], np.int64)
    feed = {"words": words, "gates": no_gates, "state": blank}
    heads, bias = graph.run(["heads", "heads_bias"], feed)
    plain = model.heads.weight.detach().numpy()
    scale = float(heads[:, 0] @ plain[0] / (plain[0] @ plain[0]))
    expected[:, 0] = expected[:, 0] * scale + bias[0] - scale * model.heads.bias[0].item()
    # The graph itself, one word at a time with its state handed back in.
    state, stepped = blank, []
    for row in rows:
        feed = {"words": np.array([row], np.int64), "gates": no_gates, "state": state}
        (gates,) = graph.run(["word_gates"], feed)
        state, log_odds = graph.run(["new_state", "log_odds"], feed | {"gates": gates})
        stepped.append(log_odds[0])
    assert np.array(stepped) == pytest.approx(expected, abs=1e-4)
    state = detector._screen.blank
    found = []
    rng = random.Random(1)
    for step in steps:
        pending, queue, place = "", [], 0
        while place < len(step):
            size = rng.randint(1, 7)
            units, pending = split_units(pending + step[place : place + size])
            queue += units
            place += size
        queue += [pending] if pending else []
        for row in [*map(detector._screen.row, queue), detector._screen.END_OF_STEP]:
            both = detector._screen.read([state, state], [row, row])
            state = detector._screen.read_one(state, row)
            assert both[1] == pytest.approx(state, abs=1e-5)
            found.append(detector._screen.log_odds(state))
            assert detector._screen.log_odds(both)[0] == pytest.approx(found[-1], abs=1e-4)
    assert len(found) == len(expected) > 300
    assert np.array(found) == pytest.approx(expected, abs=1e-4)


def test_the_encoder_is_that_of_torch(encoder: Path, tmp_path: Path) -> None:
    torch.manual_seed(1)
    model = EncoderModel(encoder, num_frozen=1).eval()
    export_encoder(model, tmp_path / "full.onnx", int8=False)
    export_encoder(model, tmp_path / "int8.onnx")
    full = onnxruntime.InferenceSession(str(tmp_path / "full.onnx"))
    int8 = onnxruntime.InferenceSession(str(tmp_path / "int8.onnx"))
    tokenizer = Tokenizer.from_file(str(encoder / "tokenizer.json"))
    maker = RowMaker(tokenizer, Lengths())
    texts = [("How?", "", None), ("How?", "One.", "Two, and a longer one."), ("", "", "用户。")]
    for request, before, step in texts:
        row = maker.row(request, before, step)
        ids = torch.tensor([row.ids])
        segments = torch.zeros_like(ids)
        if row.segment_start:
            segments[0, row.segment_start :] = 1
        with torch.inference_mode():
            expected = model(ids, torch.ones_like(ids), segments).numpy()
        feed = {
            "input_ids": ids.numpy(),
            "attention_mask": np.ones_like(ids.numpy()),
            "token_type_ids": segments.numpy(),
        }
        assert full.run(None, feed)[0] == pytest.approx(expected, abs=1e-4)
        assert int8.run(None, feed)[0] == pytest.approx(expected, abs=0.3)


def test_a_report_holds_figures_tables_and_curves(
    config: DistillConfig, student: Path, tmp_path: Path
) -> None:
    found = report(
        ReportConfig(
            traces=config.traces, out=tmp_path, detector=str(student), max_traces=20, num_draws=10
        )
    )
    assert [entry.source for entry in found] == ["traces"]
    assert found[0].harmless_interrupted.value is not None
    assert {path.name for path in tmp_path.iterdir()} == {
        "report.json", "report.md", "roc.png", "thresholds.png",
    }  # fmt: skip
    assert "caught in time" in (tmp_path / "report.md").read_text()


def test_traces_without_cues_cannot_be_distilled(config: DistillConfig, tmp_path: Path) -> None:
    lines = [trace_line(form.format(place), False, 1) for form in HARMLESS for place in PLACES]
    (tmp_path / "t.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    with pytest.raises(ValueError, match="labelled cues"):
        distill(replace(config, out=tmp_path / "out", traces=(tmp_path / "t.jsonl",)))
