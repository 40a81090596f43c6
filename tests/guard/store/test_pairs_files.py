"""Pairs as files: what is written, what is read, what is refused."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Literal

import pytest

from rerail.guard.pair_files import Exported, export_pairs, read_pairs
from rerail.guard.pairs import Pair, pairs_of
from rerail.guard.store import Store
from rerail.guard.store_query import PairFilter
from rerail.guard.traces import Trace

MakeTrace = Callable[..., Trace]
FORMATS: tuple[Literal["jsonl", "parquet"], ...] = ("jsonl", "parquet")


@pytest.fixture
def pairs(make_trace: MakeTrace) -> list[Pair]:
    """Three: complete with a list of parts as content, cut off, and without ids."""
    parts = ({"role": "user", "content": [{"type": "text", "text": "Ü \u2028 line\nbreak"}]},)
    whole, cut_off, text_only = (pairs_of(make_trace(number))[0] for number in range(3))
    return [
        replace(whole, complete=True, messages=parts, rejected=" Ü \u2028 \x00\n", topic="maths"),
        cut_off,
        replace(text_only, prompt_ids=(), chosen_ids=(), rejected_ids=(), probability=None),
    ]


@pytest.mark.parametrize("file_format", FORMATS)
def test_pairs_come_back_from_a_file(
    tmp_path: Path, pairs: list[Pair], file_format: Literal["jsonl", "parquet"]
) -> None:
    path = tmp_path / f"pairs.{file_format}"
    assert export_pairs(pairs, path, file_format) == Exported(path, 3, 2, 1)
    assert list(read_pairs(path)) == pairs
    assert [each.name for each in tmp_path.iterdir()] == [path.name], "no draft left"


def test_a_line_of_jsonl(tmp_path: Path, store: Store, make_trace: MakeTrace) -> None:
    trace = make_trace(1)
    store.add(trace)
    export_pairs(store.pairs(), tmp_path / "pairs.jsonl")
    [line] = (tmp_path / "pairs.jsonl").read_text().splitlines()
    keep = trace.interventions[0].keep
    kept_ids = list(trace.tokens.known_ids())
    assert json.loads(line) == {
        "prompt": trace.prompt + "".join(trace.tokens.texts[:keep]),
        "chosen": "".join(trace.tokens.texts[keep:]),
        "rejected": " First, gather PLACEHOLDER.",
        "prompt_input_ids": [1, 2, 3, 1, *kept_ids[:keep]],
        "chosen_input_ids": kept_ids[keep:],
        "rejected_input_ids": [7, 8, 9],
        "messages_json": json.dumps(trace.messages),
        "id": f"{trace.id}-0",
        "trace_id": trace.id,
        "ordinal": 0,
        "model": "sandbox",
        "trigger_id": "risk-1",
        "probability": 0.875,
        "complete": False,
        "topic": None,
    }


@pytest.mark.parametrize("file_format", FORMATS)
def test_half_a_surrogate_pair_can_be_exported(
    tmp_path: Path, pairs: list[Pair], file_format: Literal["jsonl", "parquet"]
) -> None:
    odd = [replace(pairs[0], chosen="half \ud83d"), pairs[1]]
    export_pairs(odd, tmp_path / f"a.{file_format}", file_format)
    back = list(read_pairs(tmp_path / f"a.{file_format}"))
    assert back[0].chosen == ("half \ud83d" if file_format == "jsonl" else "half ?")
    assert back[1] == odd[1]


@pytest.mark.parametrize("file_format", FORMATS)
def test_an_export_that_fails_leaves_the_old_file(
    tmp_path: Path, pairs: list[Pair], file_format: Literal["jsonl", "parquet"]
) -> None:
    path = tmp_path / "pairs"
    path.write_text("what was here before")

    def failing() -> Iterator[Pair]:
        yield pairs[0]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        export_pairs(failing(), path, file_format)
    assert path.read_text() == "what was here before"
    assert list(tmp_path.iterdir()) == [path]


def test_an_empty_export_is_a_file(tmp_path: Path) -> None:
    for file_format in FORMATS:
        path = tmp_path / f"none.{file_format}"
        assert export_pairs([], path, file_format).pairs == 0
        assert list(read_pairs(path)) == []


def test_an_unknown_format_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="'csv' is unknown: use jsonl or parquet"):
        export_pairs([], tmp_path / "pairs.csv", "csv")  # type: ignore[arg-type]


BROKEN = {
    "{broken": "not JSON",
    "[1]": "give an object with prompt, chosen and rejected",
    '{"prompt": "a", "chosen": "b"}': "'rejected' is missing or no text",
    '{"prompt": "a", "chosen": ["b"], "rejected": "c"}': "'chosen' is missing or no text",
    '{"prompt": "a", "chosen": "b", "rejected": "c", "prompt_input_ids": ["1"]}': (
        "'prompt_input_ids' is no list of token ids"
    ),
    '{"prompt": "a", "chosen": "b", "rejected": "c", "messages_json": "{"}': (
        "'messages_json' is no JSON text"
    ),
    '{"prompt": "a", "chosen": "b", "rejected": "c", "probability": "high"}': (
        "'probability' is no number"
    ),
    '{"prompt": "a", "chosen": "b", "rejected": "c", "ordinal": null}': "'ordinal' is no whole",
    '{"prompt": "a", "chosen": "b", "rejected": "c", "id": 7}': "'id' is no text",
    "\udcff": "not JSON",
}


@pytest.mark.parametrize("line", BROKEN)
def test_a_broken_line_is_named_by_its_number(tmp_path: Path, line: str) -> None:
    path = tmp_path / "pairs.jsonl"
    good = '{"prompt": "a", "chosen": "b", "rejected": "c"}'
    path.write_bytes(f"{good}\n\n{line}\n{good}\n".encode("utf-8", "surrogateescape"))
    reading = read_pairs(path)
    assert next(reading).prompt == "a"
    with pytest.raises(ValueError, match=r"pairs.jsonl line 3: ") as caught:
        next(reading)
    assert BROKEN[line] in str(caught.value)


def test_a_file_with_nothing_but_texts_is_read(tmp_path: Path) -> None:
    path = tmp_path / "pairs.jsonl"
    path.write_text('{"prompt": "a", "chosen": "b", "rejected": "c"}\n')
    [pair] = read_pairs(path)
    assert (pair.id, pair.complete, pair.prompt_ids) == ("pair-1", True, ())


def test_a_file_that_is_no_parquet(tmp_path: Path) -> None:
    (tmp_path / "a.parquet").write_text("not parquet at all")
    with pytest.raises(ValueError, match=r"a.parquet is no parquet file"):
        list(read_pairs(tmp_path / "a.parquet"))


def test_missing_pyarrow_is_named(tmp_path: Path) -> None:
    (tmp_path / "pyarrow.py").write_text("raise ImportError('no pyarrow here')\n")
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from pathlib import Path\n"
        "from rerail.guard.pair_files import export_pairs\n"
        "try: export_pairs([], Path(sys.argv[1], 'a.parquet'), 'parquet')\n"
        "except ImportError as error: sys.stdout.write(str(error))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path], capture_output=True, text=True, check=True
    )
    assert done.stdout == 'parquet needs pyarrow: pip install "rerail[train]"'


def test_imported_pairs_are_stored_all_or_none(
    tmp_path: Path, store: Store, pairs: list[Pair]
) -> None:
    export_pairs(pairs, tmp_path / "pairs.jsonl")
    assert store.add_pairs(read_pairs(tmp_path / "pairs.jsonl")) == 3
    assert list(store.pairs()) == pairs
    (tmp_path / "half.jsonl").write_text(
        '{"prompt": "a", "chosen": "b", "rejected": "c", "id": "new"}\n{broken\n'
    )
    with pytest.raises(ValueError, match="line 2"):
        store.add_pairs(read_pairs(tmp_path / "half.jsonl"))
    assert store.count_pairs() == 3


def test_which_pairs(store: Store, make_trace: MakeTrace) -> None:
    for number in range(4):
        store.add(make_trace(number, model="even" if number % 2 == 0 else "odd"))
    store.complete_pair(f"{make_trace(2).id}-0", " and so on", (10, 11))

    def numbers(wanted: PairFilter) -> list[int]:
        found = [int(pair.id[:12], 16) for pair in store.pairs(wanted)]
        assert store.count_pairs(wanted) == len(found)
        return found

    assert numbers(PairFilter(model="even")) == [0, 2]
    assert numbers(PairFilter(complete=True)) == [2]
    assert numbers(PairFilter(complete=False, limit=2)) == [0, 1]
    assert numbers(PairFilter(since=make_trace(2).created_at)) == [2, 3]
    assert numbers(PairFilter(until=make_trace(1).created_at)) == [0]
    assert numbers(PairFilter(trace=make_trace(3).id)) == [3]
    assert numbers(PairFilter(trigger="risk-1", min_probability=0.875)) == [0, 1, 2, 3]
    assert numbers(PairFilter(min_probability=0.9)) == []


def test_the_files_load_as_data_sets(tmp_path: Path, pairs: list[Pair]) -> None:
    datasets = pytest.importorskip("datasets")
    for file_format in FORMATS:
        path = tmp_path / f"pairs.{file_format}"
        export_pairs(pairs, path, file_format)
        loader = "json" if file_format == "jsonl" else "parquet"
        loaded = datasets.load_dataset(
            loader, data_files=str(path), split="train", cache_dir=str(tmp_path / "cache")
        )
        assert loaded["rejected"][:] == [pair.rejected for pair in pairs]
        assert loaded["chosen_input_ids"][0] == list(pairs[0].chosen_ids)


def test_no_other_column_is_one_of_trls(tmp_path: Path, pairs: list[Pair]) -> None:
    """TRL picks at random among the columns it knows, `messages` too, whether a data set is one of
    conversations: a list under that name fails now and then.
    """
    known = {"prompt", "chosen", "rejected", "completion", "messages", "conversations", "tools"}
    known |= {"images", "image", "label", "chat_template_kwargs", "input_ids"}
    known |= {"prompt_ids", "chosen_ids", "rejected_ids"}
    export_pairs(pairs, tmp_path / "pairs.jsonl")
    for line in (tmp_path / "pairs.jsonl").read_text().splitlines():
        assert known & set(json.loads(line)) == {"prompt", "chosen", "rejected"}


@pytest.mark.slow
def test_trl_prepares_the_file(tmp_path: Path, pairs: list[Pair]) -> None:
    """Slow for its import alone."""
    datasets = pytest.importorskip("datasets")
    trl = pytest.importorskip("trl")
    transformers = pytest.importorskip("transformers")
    from tokenizers import Tokenizer, models, pre_tokenizers

    bytes_ = pre_tokenizers.ByteLevel(add_prefix_space=False)
    vocabulary = {piece: number for number, piece in enumerate(sorted(bytes_.alphabet()))}
    backend = Tokenizer(models.BPE(vocabulary, []))
    backend.pre_tokenizer = bytes_  # type: ignore[assignment]
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="<end>")

    path = tmp_path / "pairs.parquet"
    export_pairs(pairs, path, "parquet")
    loaded = datasets.load_dataset(
        "parquet", data_files=str(path), split="train", cache_dir=str(tmp_path / "cache")
    )
    settings = trl.DPOConfig(output_dir=str(tmp_path), max_length=None, use_cpu=True, bf16=False)
    trainer = SimpleNamespace(_tokenizer=tokenizer)
    ready = trl.DPOTrainer._prepare_dataset(trainer, loaded, tokenizer, settings, "train")
    for row, pair in zip(ready, pairs, strict=True):
        assert len(row["prompt_ids"]) == len(pair.prompt.encode())
        assert len(row["rejected_ids"]) == len(pair.rejected.encode()) + 1
