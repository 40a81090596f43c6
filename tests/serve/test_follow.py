"""A server whose model follows a file: new requests get the new one, streams that run the old."""

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import pytest

from rerail.serve.engine_following import FollowingEngine


class _Backend:
    num_open = 0


class _Engine:
    """What the following engine asks of an engine, with a name."""

    def __init__(self, name: str) -> None:
        self.stored_name = name
        self.backend = _Backend()
        self.model_names = ("served",)
        self.closed = False

    async def ready(self) -> bool:
        return True

    async def close(self) -> None:
        self.closed = True


def _wait(holds: Any) -> None:
    end = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.01)


def _write(pointer: Path, model: str) -> None:
    draft = pointer.with_suffix(".part")
    draft.write_text(json.dumps({"model": model, "adapter": None}))
    draft.replace(pointer)


@pytest.fixture
def pointer(tmp_path: Path) -> Path:
    return tmp_path / "promoted.json"


def test_the_model_changes_with_the_file_and_a_broken_one_changes_nothing(pointer: Path) -> None:
    made: dict[str, _Engine] = {}

    def load(model: str, adapter: str | None) -> Any:
        if model == "broken":
            raise ValueError("no such model")
        made[model] = _Engine(model)
        return made[model]

    first: Any = _Engine("first")
    engine = FollowingEngine(first, pointer, load, poll_s=0.02)
    in_hand = engine.backend  # a request that has begun keeps what it has
    _write(pointer, "second")
    _wait(lambda: engine.stored_name == "second")
    assert in_hand is first.backend and not first.closed
    _write(pointer, "broken")
    time.sleep(0.2)
    assert engine.stored_name == "second"
    _write(pointer, "third")
    _wait(lambda: engine.stored_name == "third")
    assert asyncio.run(engine.ready())
    asyncio.run(engine.close())
    assert first.closed and made["second"].closed and made["third"].closed


def test_what_is_served_already_is_not_loaded_again(pointer: Path) -> None:
    """As when a watch begins, and names the model that it is to train."""
    loaded: list[str] = []

    def load(model: str, adapter: str | None) -> Any:
        loaded.append(model)
        return _Engine(model)

    first: Any = _Engine("first")
    engine = FollowingEngine(first, pointer, load, poll_s=0.02, serving=("first", None))
    _write(pointer, "first")
    time.sleep(0.2)
    assert engine.backend is first.backend and not loaded
    for model in ("second", "first"):
        _write(pointer, model)
        _wait(lambda model=model: engine.stored_name == model)
    assert loaded == ["second", "first"]
    asyncio.run(engine.close())


def test_old_models_go_when_nothing_runs_on_them(
    pointer: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rerail.serve.engine_following._GRACE_S", 0.1)
    first: Any = _Engine("first")
    first.backend.num_open = 1
    engine = FollowingEngine(first, pointer, lambda model, _: _Engine(model), poll_s=0.02)  # pyright: ignore
    _write(pointer, "second")
    _wait(lambda: engine.stored_name == "second")
    time.sleep(0.3)
    assert not first.closed
    first.backend.num_open = 0
    _wait(lambda: first.closed)
    asyncio.run(engine.close())
