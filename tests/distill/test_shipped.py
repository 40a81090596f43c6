"""The shipped student's recipe and card."""

from pathlib import Path

from rerail.distill.card import CardFacts, model_card
from rerail.distill.config import DistillConfig
from rerail.distill.shipped import PASSES
from rerail.guard.student_folder import SHIPPED, StudentFolder


def test_every_share_of_the_recipe_is_a_share() -> None:
    for one in PASSES:
        assert all(0 <= share <= 1 for share in (*one.requests.values(), *one.traces.values()))
        assert 0 < one.learning_rate < 1e-3 and 0 <= one.opener_share <= 1


def test_the_measured_only_source_is_never_trained_on() -> None:
    # Its prompts are CC-BY-NC: the shipped student may be measured on them and no more.
    config = DistillConfig(out=Path("x"), traces=(Path("y"),))
    assert "alpaca_r1_llama_8b" in config.measured_sources


def test_the_card_names_files_and_no_folders() -> None:
    folder = StudentFolder.read(SHIPPED)
    config = DistillConfig(
        out=Path("/home/me/run"),
        traces=(Path("/home/me/data/a.jsonl"),),
        encoder="/home/me/encoder",
        initial_encoder=Path("/home/me/before/encoder.pt"),
        notes="Made with care.",
    )
    facts = CardFacts([("xstest", 3), ("a", 5)], config.to_json(), 10, 4, 0.051)
    card = model_card(folder.settings, facts, [], [], ["suite-roast"])
    assert "/home" not in card and '"a.jsonl"' in card
    assert "XSTest prompts (CC-BY-4.0): 3" in card and "- a: 5" in card
    assert "5.1 %" in card and "suite-roast" in card and "Made with care." in card


def test_the_shipped_card_is_there_and_names_no_folder() -> None:
    card = (SHIPPED / "MODEL_CARD.md").read_text()
    assert "Held-out figures" in card and "Known failures" in card
    assert "/work" not in card and "/tmp" not in card and "/home" not in card
