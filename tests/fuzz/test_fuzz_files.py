"""Files from elsewhere: whatever is in them, a reader gives records or the error that it documents.

In particular never a `RecursionError`, and nothing that has to be looked up in a traceback.
"""

import csv
import io
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest
from fuzzing import DEEP, JSON, changed, damaged, fuzz, sentence
from golden_traces import TRACES as GOLDEN
from hypothesis import strategies as st

from rerail.distill.labels import read_traces
from rerail.distill.run_folder import check_config, read_record
from rerail.guard.calibration import FILE, Calibration
from rerail.guard.pair_files import pair_record, read_pairs
from rerail.guard.pairs import Pair
from rerail.guard.student_folder import MANIFEST, SHIPPED, StudentFolder
from rerail.guard.tokenizer_folder import FolderTokenizer
from rerail.guard.tokens import TokenTable
from rerail.guard.triggers import TriggerPool
from rerail.serve.label_book import LabelBook
from rerail.serve.live_frame import Frame, frame_of, frame_text
from rerail.serve.pointer_watch import named_in
from rerail.serve.recorded import read_recorded
from rerail.serve.story import Story
from rerail.train.json_lines import read_json_lines
from rerail.train.prompts import read_prompts
from rerail.train.rollout_store import read_rollouts

PAIR = pair_record(
    Pair(
        id="p", trace_id="t", ordinal=0, model="m@1", messages=({"role": "user", "content": "a"},),
        prompt="a", chosen="b", rejected="c", prompt_ids=(1, 2), chosen_ids=(3,), rejected_ids=(4,),
        complete=True, trigger_id="own", probability=0.5, topic=None,
    )
)  # fmt: skip
TRACE = {"id": "a", "request": "r", "harmful": True, "model": "m", "think": "One. Two.",
         "answer": "x", "steps": [[0, 4], [5, 9]], "labels": ["N", "C"]}  # fmt: skip
PROMPT = {"id": "a", "messages": [{"role": "user", "content": "hi"}], "kind": "harmful",
          "topic": "t", "expected": None, "tools": []}  # fmt: skip

STORY = Story.of(GOLDEN["intervened"]())


@dataclass(frozen=True, slots=True)
class Reader:
    """How one kind of file is read to its end, and a sound value of it."""

    name: str
    sound: Any
    read: Callable[[Path], Any]
    errors: tuple[type[Exception], ...] = (ValueError, OSError)


def drained(read: Callable[[Path], Iterable[Any]]) -> Callable[[Path], Any]:
    return lambda path: list(read(path))


READERS = {
    "pairs": Reader("p.jsonl", PAIR, drained(read_pairs)),
    "prompts": Reader("p.jsonl", PROMPT, read_prompts),
    "recorded traces": Reader("t.jsonl", TRACE, drained(read_recorded)),
    "labelled traces": Reader("t.jsonl", TRACE, lambda path: list(read_traces([path]))),
    "labels of the browser": Reader("l.jsonl", TRACE | {"id": STORY.trace.id, "marked": [0]},
                                    lambda path: LabelBook(path).marks(STORY)),
    "triggers": Reader("t.jsonl", {"id": "a", "text": "Wait.", "kind": "risk"},
                       TriggerPool.from_file),
    "lines of a run": Reader("r.jsonl", {"id": "a"},
                             drained(lambda path: read_json_lines(path, lambda row: row["id"]))),
    "rollouts": Reader("rollouts.jsonl", {"prompt": PROMPT, "branches": []},
                       lambda path: list(read_rollouts(path.parent))),
    "a record of a run": Reader("config.json", {"seed": 1}, read_record),
    "a run's settings": Reader("config.json", {"seed": 1},
                               lambda path: check_config(path.parent, {"seed": 1})),
    "a calibration": Reader(
        FILE, {"detector": "d", "request": 0.5,
               "thresholds": {"reasoning": {"inside": 0.9, "end": 0.5}}},
        lambda path: Calibration.of_model(path.parent)),
    "a student's manifest": Reader(MANIFEST, json.loads((SHIPPED / MANIFEST).read_text()),
                                   lambda path: StudentFolder.read(path.parent)),
    "a tokenizer's settings": Reader("tokenizer_config.json", {"eos_token": {"content": "<e>"}},
                                     lambda path: FolderTokenizer.from_folder(path.parent)),
    "a pointer": Reader("promoted.json", {"model": "m", "adapter": None},
                        lambda path: named_in(path.read_text("utf-8")),
                        (ValueError, KeyError, TypeError)),
    "a frame": Reader("frame.json", json.loads(frame_text(
        Frame("s", 0, TokenTable([], [], [], [], []), 0, 0, (), 0, ()))),
                      lambda path: frame_of(path.read_text("utf-8")),
                      (ValueError, KeyError, TypeError)),
}  # fmt: skip


@pytest.fixture(scope="module", params=READERS)
def reader(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A reader and the path of its file, in a folder of its own."""
    found = READERS[request.param]
    folder = tmp_path_factory.mktemp("files")
    if found.name == "tokenizer_config.json":
        (folder / "tokenizer.json").write_bytes((SHIPPED / "tokenizer.json").read_bytes())
    return found, folder / found.name


@fuzz(data=st.data())
def test_a_file_is_read_or_refused_in_a_sentence(reader: Any, data: st.DataObject) -> None:
    how, path = reader
    whole = json.dumps(how.sound).encode()
    spoiled = changed(how.sound).map(lambda value: json.dumps(value).encode())
    kinds = spoiled | damaged(whole) | JSON.map(lambda each: json.dumps(each).encode())
    content = data.draw(kinds | DEEP.map(str.encode) | spoiled)
    path.write_bytes(content + b"\n")
    try:
        how.read(path)
    except how.errors as error:
        sentence(error)


def _parquet(rows: list[dict[str, Any]]) -> bytes:
    file = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), file)
    return file.getvalue()


def _csv(rows: list[dict[str, Any]]) -> bytes:
    file = io.StringIO()
    writer = csv.DictWriter(file, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    return file.getvalue().encode()


FLAT = [{"id": "a", "request": "hi", "harmful": True, "tools_json": "[]"}]
TABLES: dict[str, tuple[bytes, Callable[[Path], Any]]] = {
    "pairs.parquet": (_parquet([PAIR]), drained(read_pairs)),
    "prompts.parquet": (_parquet(FLAT), read_prompts),
    "prompts.csv": (_csv(FLAT), read_prompts),
}


@fuzz(name=st.sampled_from(sorted(TABLES)), data=st.data())
def test_tables_are_read_or_refused_in_a_sentence(
    name: str, data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    sound, read = TABLES[name]
    path = tmp_path_factory.getbasetemp() / name
    path.write_bytes(data.draw(damaged(sound)))
    try:
        read(path)
    except (ValueError, OSError) as error:
        sentence(error)
