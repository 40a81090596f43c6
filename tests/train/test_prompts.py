"""Prompt files of every shape, their faults by line, and the public sets where they lie."""

import json
from pathlib import Path
from typing import Any

import pytest

from rerail.train.prompt_rows import Columns, PromptFileError
from rerail.train.prompts import (
    PromptRecord,
    load_prompts,
    of_kind,
    read_prompts,
    sandbox_prompts,
)
from rerail.train.sandbox.kinds import Kind

SHARED = Path(__file__).parents[3] / "shared" / "data" / "prompts"


def _write(path: Path, *rows: dict[str, Any] | str) -> Path:
    lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_jsonl_says_what_each_prompt_is(tmp_path: Path) -> None:
    path = _write(
        tmp_path / "p.jsonl",
        {"id": "a", "request": "Bad?", "harmful": True, "category": "x"},
        "",
        {"prompt": "Fine?", "harmful": False},
        {"question": "1+1", "harmful": False, "answer": 2},
        {"messages": [{"role": "user", "content": "Hm"}], "kind": "lookalike", "topic": "t"},
    )
    user = [{"role": "user", "content": "Bad?"}]
    records = read_prompts(path)
    assert records[0] == PromptRecord("a", tuple(user), Kind.HARMFUL, "x")
    assert [each.id for each in records] == ["a", "p-3", "p-4", "p-5"]
    assert [each.kind for each in records[1:]] == [Kind.HARMLESS, Kind.TASK, Kind.LOOKALIKE]
    assert [each.expected for each in records] == [None, None, "2", None]
    assert of_kind(records, Kind.TASK, Kind.HARMFUL) == [records[0], records[2]]


def test_csv_with_quoted_line_breaks(tmp_path: Path) -> None:
    path = tmp_path / "p.csv"
    path.write_text('prompt,harmful,type\n"Two\nlines",true,a\nOne,false,\n', encoding="utf-8")
    records = read_prompts(path)
    assert [(each.request, each.kind, each.topic) for each in records] == [
        ("Two\nlines", Kind.HARMFUL, "a"),
        ("One", Kind.HARMLESS, ""),
    ]


def test_parquet_and_rows_written_by_the_records_themselves(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    records = sandbox_prompts("test", num=40, seed=3)
    lines = _write(tmp_path / "p.jsonl", *(each.to_row() for each in records))
    assert read_prompts(lines) == records
    rows = [
        each.to_row()
        | {"messages": json.dumps(each.messages, default=dict), "tools": json.dumps(each.tools)}
        for each in records
    ]
    parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "p.parquet")
    assert load_prompts(str(tmp_path / "p.parquet")) == records


def test_columns_of_another_set_and_a_kind_for_silent_rows(tmp_path: Path) -> None:
    path = _write(tmp_path / "p.jsonl", {"Goal": "Do it", "Behavior": "b"})
    columns = Columns(request=("Goal",), topic=("Behavior",))
    (record,) = read_prompts(path, kind=Kind.HARMFUL, columns=columns)
    assert (record.request, record.topic, record.kind) == ("Do it", "b", Kind.HARMFUL)


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ("{", "line 2: not JSON"),
        ("[1]", "line 2: no JSON object"),
        ({"request": "x"}, "line 2: neither `kind` nor `harmful`"),
        ({"harmful": True}, "line 2: no text under any of messages, request"),
        ({"request": "x", "kind": "odd"}, "line 2: kind 'odd' is unknown"),
        ({"request": "x", "harmful": "perhaps"}, "line 2: harmful is 'perhaps'"),
        ({"request": "x", "kind": "task"}, "line 2: a task needs the answer"),
        ({"messages": [{"role": "user"}], "harmful": True}, "line 2: a message needs a role"),
        ({"messages": "[", "harmful": True}, "line 2: messages is no JSON"),
        ({"messages": [{"role": "assistant", "content": "x"}], "harmful": True}, "last message"),
        ({"id": "a", "request": "y", "harmful": True}, "line 2: id 'a' is also that of"),
    ],
)
def test_a_fault_is_named_with_its_line(
    tmp_path: Path, row: dict[str, Any] | str, says: str
) -> None:
    path = _write(tmp_path / "p.jsonl", {"id": "a", "request": "x", "harmful": True}, row)
    with pytest.raises(PromptFileError, match=says):
        read_prompts(path)


def test_an_unknown_source_is_refused_and_never_asked_of_the_hub() -> None:
    for source in ("nowhere.jsonl", "plainname", "sandbox:dev", "a/b/c.csv"):
        with pytest.raises(PromptFileError):
            load_prompts(source)


def test_the_sandbox_by_name_is_seeded_and_cut() -> None:
    assert load_prompts("sandbox", num=3) == sandbox_prompts("test", num=3)
    train = load_prompts("sandbox:train", kind=Kind.TASK, num=4, seed=1)
    assert {each.kind for each in train} == {Kind.TASK}
    assert train != load_prompts("sandbox:test", kind=Kind.TASK, num=4, seed=1)


@pytest.mark.skipif(not SHARED.exists(), reason="the public prompt sets are not beside this folder")
def test_public_sets_as_they_lie() -> None:
    numbers = {path.stem: len(read_prompts(path)) for path in SHARED.glob("*.jsonl")}
    assert numbers["xstest"] == 450
    assert numbers["gsm8k_test"] == 1319
    tasks = read_prompts(SHARED / "math500.jsonl")
    assert all(each.kind is Kind.TASK and each.expected for each in tasks)
