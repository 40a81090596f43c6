"""The embedded model's own settings, by the names of the flags that they stand for."""

from dataclasses import replace
from typing import Any

from rerail.train.rounds_config import RoundsConfig
from rerail.train.sandbox_settings import SANDBOX_ROUNDS, sandbox_flags


def test_the_flags_are_what_the_settings_change_and_no_more() -> None:
    flags = sandbox_flags()
    assert _with(RoundsConfig(), flags) == SANDBOX_ROUNDS
    assert flags["training"]["beta"] == SANDBOX_ROUNDS.training.beta
    assert "seed" not in flags


def _with(settings: Any, flags: dict[str, Any]) -> Any:
    values = {
        name: _with(getattr(settings, name), value) if isinstance(value, dict) else value
        for name, value in flags.items()
    }
    return replace(settings, **values)
