"""The watch: when a round begins, what it takes, and that a failed one changes nothing."""

import json
import threading
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from preference_pairs import pair
from small_rounds import SMALL

from rerail.guard import Store
from rerail.guard.backend_transformers_loading import load
from rerail.guard.pair_completion import Continuation
from rerail.guard.pairs import Pair
from rerail.serve.vllm_adapters import load_adapter
from rerail.train.current import Current
from rerail.train.round_tools import generator_and_reader
from rerail.train.sandbox.shipped import model_folder
from rerail.train.watch import (
    POINTER,
    Surroundings,
    WatchConfig,
    new_pairs,
    stored_name,
    watch,
)
from rerail.train.weights import Weights

QUIET = replace(SMALL, num_harmful=0, num_harmless=0)


def _going_on(model: Any, tokenizer: Any) -> Any:
    def continue_(pairs: Sequence[Pair]) -> Iterable[Continuation]:
        return [Continuation(" on", (40, 41)) for _ in pairs]

    return continue_


@pytest.fixture(scope="module")
def name() -> str:
    """What a server of the sandbox model puts into its traces."""
    start = Current(Weights("sandbox"), figures=None)  # pyright: ignore[reportArgumentType]
    return stored_name(WatchConfig(), QUIET, start)


@pytest.fixture
def store(tmp_path: Path, name: str) -> Any:
    with Store(str(tmp_path / "store.db")) as store:
        model, tokenizer = load(model_folder())
        _, reader = generator_and_reader(model, tokenizer, 8)
        pairs = []
        for number in range(6):
            ids = [tuple(reader.encode(text)) for text in ("I see it", "No", f"Yes {number}")]
            texts = [tokenizer.decode([*each]) for each in ids]
            made = pair(f"p{number}", *ids, texts=texts, complete=False)
            pairs.append(replace(made, model=name, trace_id=f"t{number}"))
        store.add_pairs(pairs, created_at=datetime.now(UTC))
        yield store


def test_pairs_of_the_model_in_service_count_once(store: Store, name: str, tmp_path: Path) -> None:
    assert name.startswith("sandbox@")
    assert len(new_pairs(store, name, tmp_path)) == 6
    assert not new_pairs(store, "sandbox@another", tmp_path)


def test_a_round_begins_with_enough_pairs_and_takes_each_once(
    store: Store, name: str, tmp_path: Path
) -> None:
    said: list[str] = []
    out = tmp_path / "watch"
    around = Surroundings(_going_on, told=said.append)
    reports = watch(QUIET, WatchConfig(min_pairs=6, max_rounds=1), store, out, around)
    assert len(reports) == 1 and reports[0].num_pairs == 6
    assert "round 1: 6 new pairs" in said
    assert not new_pairs(store, name, out)
    pointer = json.loads((out / POINTER).read_text())
    served = str(out / "round-1" / "model") if reports[0].promoted else "sandbox"
    assert pointer["model"] == served
    # Again: nothing is new, so nothing happens until it is told to stop.
    stop = threading.Event()
    threading.Timer(0.5, stop.set).start()
    waiting = WatchConfig(min_pairs=6, poll_s=0.05)
    again = watch(QUIET, waiting, store, out, replace(around, stop=stop))
    assert again == reports


def test_a_round_that_fails_changes_nothing_and_is_not_tried_for_ever(
    store: Store, tmp_path: Path
) -> None:
    def broken(model: Any, tokenizer: Any) -> Any:
        raise ValueError("no continuation today")

    said: list[str] = []
    handed: list[Current] = []
    out = tmp_path / "watch"
    around = Surroundings(broken, hand_over=handed.append, told=said.append)
    assert not watch(QUIET, WatchConfig(min_pairs=1, max_rounds=1), store, out, around)
    assert "round 1 failed and changes nothing: no continuation today" in said
    assert not handed
    assert json.loads((out / POINTER).read_text())["model"] == "sandbox"
    assert (out / "round-1" / "failed.json").exists()


def test_handing_an_adapter_to_vllm_says_what_went_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[dict[str, Any]] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append({"path": request.url.path} | json.loads(request.content))
        return httpx.Response(404 if "closed" in str(request.url) else 200)

    client = httpx.Client(transport=httpx.MockTransport(answer))
    monkeypatch.setattr(httpx, "post", client.post)
    load_adapter("http://open:1/v1/", "rerail", tmp_path)
    assert asked[0]["path"] == "/v1/load_lora_adapter" and asked[0]["load_inplace"] is True
    with pytest.raises(ValueError, match="VLLM_ALLOW_RUNTIME_LORA_UPDATING"):
        load_adapter("http://closed:1", "rerail", tmp_path)
