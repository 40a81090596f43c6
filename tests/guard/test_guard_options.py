"""The options of guarded models, and the guard that they make."""

from pathlib import Path

import pytest
from fakes import WordDetector
from golden_traces import allowed

from rerail.guard import Guard, GuardConfig, Store, TriggerPool
from rerail.guard.guard_options import GuardOptions, guard_from_options, split_options

DETECTOR = WordDetector()


def test_settings_by_name_win_over_the_config() -> None:
    config = GuardConfig(hold=3, threshold=0.2)
    guard = guard_from_options(config, {"detector": DETECTOR, "threshold": 0.7}, model="")
    assert guard.detector is DETECTOR
    assert guard.config == GuardConfig(hold=3, threshold=0.7)


def test_without_a_detector_it_is_the_shipped_student() -> None:
    assert guard_from_options(None, {}, model="").detector is not None


def test_a_guard_of_ones_own_is_passed_alone() -> None:
    own = Guard(None)
    assert guard_from_options(None, {"guard": own, "store": None}, model="") is own
    parts: tuple[GuardOptions, ...] = (
        {"guard": own, "detector": DETECTOR},
        {"guard": own, "threshold": 0.5},
    )
    for together in parts:
        with pytest.raises(ValueError, match="pass it alone"):
            guard_from_options(None, together, model="")
    with pytest.raises(ValueError, match="pass it alone"):
        guard_from_options(GuardConfig(), {"guard": own}, model="")


def test_what_is_no_setting_is_named() -> None:
    with pytest.raises(ValueError, match="polcy"):
        guard_from_options(None, {"detector": DETECTOR, "polcy": "audit"}, model="")


def test_triggers_are_a_pool_or_a_file(tmp_path: Path) -> None:
    """A file's name was taken for a pool: the first intervention failed on it."""
    pool = TriggerPool.built_in()
    assert (
        guard_from_options(None, {"detector": DETECTOR, "triggers": pool}, model="").triggers
        is pool
    )
    file = tmp_path / "triggers.jsonl"
    file.write_text('{"text": "Wait, no."}\n')
    guard = guard_from_options(
        None, {"detector": DETECTOR, "triggers": file, "replace_triggers": True}, model=""
    )
    assert [each.text for each in guard.triggers.triggers] == ["Wait, no."]


def test_a_trace_goes_to_the_store_and_then_to_record(tmp_path: Path) -> None:
    stored: list[int] = []
    with Store(tmp_path / "traces.db") as store:
        guard = guard_from_options(
            None,
            {
                "detector": DETECTOR,
                "store": store,
                "record": lambda _: stored.append(store.count()),
            },
            model="",
        )
        assert guard.record is not None
        guard.record(allowed())
    assert stored == [1]


def test_options_given_together_are_told_apart() -> None:
    own, others = split_options({"dtype": "float32", "seed": 3, "detector": DETECTOR})
    assert own == {"seed": 3, "detector": DETECTOR}
    assert others == {"dtype": "float32"}
