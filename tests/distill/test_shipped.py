"""The shipped student's recipe and card, and the whole path at a small scale."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from tiny_traces import write_trace_file

from rerail.distill import shipped
from rerail.distill.card import CardFacts, model_card
from rerail.distill.channel_thresholds import ChannelChoice
from rerail.distill.config import DistillConfig
from rerail.distill.shipped import SANDBOX_REQUESTS, SANDBOX_WORLD, Recipe, measure, rebuild
from rerail.distill.shipped_passes import PASSES, Pass
from rerail.guard.channels import Channel
from rerail.guard.detector_student import StudentDetector
from rerail.guard.student_folder import SHIPPED, StudentFolder
from rerail.train.sandbox.labelled import request_rows, world_rows, write_rows


def test_every_share_of_the_recipe_is_a_share() -> None:
    for one in PASSES:
        assert all(0 <= share <= 1 for share in (*one.requests.values(), *one.traces.values()))
        assert 0 < one.learning_rate < 1e-3 and 0 <= one.opener_share <= 1


def test_the_measured_only_source_is_never_trained_on() -> None:
    # Its prompts are CC-BY-NC: the shipped student may be measured on them and no more.
    config = DistillConfig(out=Path("x"), traces=(Path("y"),))
    assert "alpaca_r1_llama_8b" in config.measured_sources


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    for name in ("traces", "prompts", "corpus", "sandbox"):
        (folder / name).mkdir(parents=True)
    write_trace_file(folder / "traces" / "made.jsonl")
    write_trace_file(folder / "corpus" / "traces_x.jsonl")
    requests = [{"request": f"Ask {n}?", "harmful": n % 2 == 0} for n in range(60)]
    text = "".join(json.dumps(line) + "\n" for line in requests)
    (folder / "prompts" / "asked.jsonl").write_text(text)
    write_rows(world_rows("train", 60, 1), folder / "sandbox" / SANDBOX_WORLD)
    write_rows(request_rows("train", 60, 1), folder / "sandbox" / SANDBOX_REQUESTS)
    return folder


def test_the_path_from_data_to_the_student_is_walked_and_resumed(
    data: Path, encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shipped, "CORPUS", data / "corpus")
    monkeypatch.setattr(shipped, "PASSES", (Pass(1e-4), Pass(5e-5, opener_share=0.2)))
    recipe = Recipe(
        data=data, out=tmp_path / "out", encoder=str(encoder), sandbox=data / "sandbox",
        scale=0.5, notes="A small walk.",
    )  # fmt: skip
    student = rebuild(recipe)
    card = (student / "MODEL_CARD.md").read_text()
    assert "A small walk." in card and "sandbox_world" in card
    assert "Answers and tool calls have thresholds of their own" in card
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("encoder.pt")}
    assert len(before) == 3  # two passes, and the copy that the end is made from
    manifest = (student / "manifest.json").read_text()
    assert rebuild(recipe) == student
    assert all(path.stat().st_mtime_ns == time for path, time in before.items())
    assert (student / "manifest.json").read_text() == manifest
    detector = StudentDetector.from_folder(student)
    state = detector.start([{"role": "user", "content": "How do I rob the bank?"}])
    (_,), (probability,) = detector.end_step([state], ["First, I'll plan how to do it."])
    assert 0 <= probability <= 1
    # Measured again on the same traces, it has the figures of its card.
    text = measure(recipe, student)
    held = card.partition("## Held-out figures")[2].partition("## Known failures")[0]
    rows = [line for line in held.splitlines() if line.startswith("| ")]
    assert len(rows) > 4 and all(row in text for row in rows)
    kept = tmp_path / "out" / "measured" / detector.identity / "report.md"
    assert kept.read_text() == text == measure(recipe, student)
    with pytest.raises(ValueError, match="a run with another"):
        measure(replace(recipe, scale=0.6), student)
    # The last pass alone, from the first one's weights, is the same recipe.
    later = Recipe(
        data=data, out=tmp_path / "later", encoder=str(encoder), sandbox=data / "sandbox",
        scale=0.5, first_pass=1, weights=tmp_path / "out" / "pass-0" / "encoder.pt",
    )  # fmt: skip
    assert later.pass_config(1, later.weights).encoder_fit.seed == 1


def test_a_scale_or_a_start_that_cannot_be_is_refused(data: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="scale is 0"):
        Recipe(data=data, out=tmp_path, scale=0.0)
    with pytest.raises(ValueError, match="go together"):
        Recipe(data=data, out=tmp_path, first_pass=1)
    with pytest.raises(ValueError, match=r"traces/\*\.jsonl"):
        Recipe(data=tmp_path / "none", out=tmp_path)


def test_the_card_names_files_and_no_folders() -> None:
    folder = StudentFolder.read(SHIPPED)
    config = DistillConfig(
        out=Path("/home/me/run"),
        traces=(Path("/home/me/data/a.jsonl"),),
        encoder="/home/me/encoder",
        initial_encoder=Path("/home/me/before/encoder.pt"),
        notes="Made with care.",
    )
    choice = ChannelChoice(Channel.ANSWER, 0.625, 200, 0.01, 30, 0.0, 0, None)
    facts = CardFacts([("xstest", 3), ("a", 5)], config.to_json(), 10, 4, 0.051, channels=[choice])
    card = model_card(folder.settings, facts, [], [], ["suite-roast"])
    assert "/home" not in card and '"a.jsonl"' in card
    assert "XSTest prompts (CC-BY-4.0): 3" in card and "- a: 5" in card
    assert "5.1 %" in card and "suite-roast" in card and "Made with care." in card
    assert "| answer | 0.625 | 0.010 of 200 | 0.000 of 30 | – |" in card


def test_the_shipped_card_is_there_and_names_no_folder() -> None:
    card = (SHIPPED / "MODEL_CARD.md").read_text()
    assert "Held-out figures" in card and "Known failures" in card
    assert "/work" not in card and "/tmp" not in card and "/home" not in card
