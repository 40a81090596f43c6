"""A tokenizer read without transformers does what the one of transformers does."""

import json
from pathlib import Path
from typing import Any

import pytest
from tiny_models import tiny_tokenizer

from rerail.guard.tokenizer_folder import FolderTokenizer

TURNS: list[dict[str, Any]] = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Grüße, <|im_end|> 你好?"},
    {"role": "assistant", "content": "Hello."},
    {"role": "user", "content": "And more?\n"},
]
TRICKY = (
    "{%- for message in messages %}\n    {%- if loop.index > 3 %}{% break %}{% endif %}\n"
    "    {{- bos_token + message.role + ': ' + (message | tojson) }}\n"
    "{% generation %}x{{ eos_token }}{% endgeneration %}\n{%- endfor %}\n"
    "{{ tools | tojson(indent=2) }}{{ strftime_now('%Y') }}{{ depth }}"
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tokenizer")
    tiny_tokenizer().save_pretrained(path)
    (path / "generation_config.json").write_text(json.dumps({"eos_token_id": [2, 0]}))
    return path


def test_texts_and_ids_are_the_same(folder: Path) -> None:
    ours, theirs = FolderTokenizer.from_folder(folder), tiny_tokenizer()
    text = theirs.apply_chat_template(TURNS, tokenize=False, add_generation_prompt=True)
    assert ours.apply_chat_template(TURNS, tokenize=False, add_generation_prompt=True) == text
    ids = theirs(text, add_special_tokens=False)["input_ids"]
    assert ours(text, add_special_tokens=False)["input_ids"] == ids
    assert ours.decode(ids) == text
    assert len(ours) == len(theirs) and ours.get_vocab() == theirs.get_vocab()
    assert set(ours.all_special_tokens) >= set(theirs.all_special_tokens)
    assert ours.silent_ids == {theirs.eos_token_id, theirs.pad_token_id}
    assert ours.leading_text == ""


def test_templates_find_what_transformers_gives_them(folder: Path) -> None:
    theirs = tiny_tokenizer()
    ours = FolderTokenizer.from_folder(folder)
    ours.chat_template = TRICKY
    ours.special_tokens_map["bos_token"] = "<s>"
    tools = [{"type": "function", "function": {"name": "é", "parameters": {}}}]
    expected = theirs.apply_chat_template(
        TURNS, tokenize=False, chat_template=TRICKY, tools=tools, depth=3, bos_token="<s>"
    )
    assert ours.apply_chat_template(TURNS, tokenize=False, tools=tools, depth=3) == expected


def test_templates_cannot_reach_out(folder: Path) -> None:
    ours = FolderTokenizer.from_folder(folder)
    ours.chat_template = "{{ messages.__class__.__mro__[1].__subclasses__() }}"
    with pytest.raises(Exception, match="unsafe"):
        ours.apply_chat_template(TURNS, tokenize=False)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("tokenizer.json", None, "has no tokenizer.json"),
        ("tokenizer.json", "{", "cannot be read"),
        ("tokenizer_config.json", "{", "is no JSON"),
        ("generation_config.json", "[]", "holds no object"),
    ],
)
def test_folders_that_are_wrong(
    folder: Path, tmp_path: Path, name: str, text: str | None, message: str
) -> None:
    for path in folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    if text is None:
        (tmp_path / name).unlink()
    else:
        (tmp_path / name).write_text(text)
    with pytest.raises((OSError, ValueError), match=message):
        FolderTokenizer.from_folder(tmp_path)
