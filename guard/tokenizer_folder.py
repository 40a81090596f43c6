"""A model's tokenizer and chat template read from its folder, without transformers.

The same few names as a tokenizer of transformers has, as far as `ChatTemplate`, `ControlText` and
prompts need them, so all of these work with either. Templates run in jinja's sandbox, with what
transformers gives them.
"""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from .json_text import json_of

_TOKEN_NAMES = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token")


class FolderTokenizer:
    """What is in `tokenizer.json` and the files beside it."""

    def __init__(
        self,
        tokenizer: Tokenizer,
        *,
        chat_template: str | None = None,
        special_tokens: Mapping[str, str] | None = None,
        end_ids: Sequence[int] = (),
    ) -> None:
        """`end_ids` are those besides the eos token that end a generation."""
        tokenizer.no_padding()
        tokenizer.no_truncation()
        self.backend_tokenizer = tokenizer
        self.chat_template = chat_template
        self.special_tokens_map = dict(special_tokens or {})
        self.added_tokens_decoder = tokenizer.get_added_tokens_decoder()
        self._end_ids = frozenset(end_ids)

    @classmethod
    def from_folder(cls, folder: Path) -> "FolderTokenizer":
        """Reads `tokenizer.json`, `tokenizer_config.json`, `chat_template.jinja` and
        `generation_config.json`, of which only the first must be there.

        Raises `FileNotFoundError` or `ValueError` with a sentence.
        """
        path = folder / "tokenizer.json"
        if not path.is_file():
            raise FileNotFoundError(
                f"{folder} has no tokenizer.json: name the folder of the model that is served"
            )
        try:
            tokenizer = Tokenizer.from_str(path.read_text(encoding="utf-8"))
        except Exception as error:  # the library raises bare exceptions
            raise ValueError(f"{path} cannot be read: {error}") from error
        config = _read_object(folder / "tokenizer_config.json")
        names = {**_read_object(folder / "special_tokens_map.json"), **config}
        ends = _read_object(folder / "generation_config.json").get("eos_token_id", [])
        try:
            return cls(
                tokenizer,
                chat_template=_read_template(folder, config),
                special_tokens={
                    name: _content(names[name]) for name in _TOKEN_NAMES if names.get(name)
                },
                end_ids=ends if isinstance(ends, list) else [ends],
            )
        except (KeyError, TypeError) as error:
            raise ValueError(
                f"the tokenizer's settings in {folder} are damaged ({error!r}): save it again"
            ) from error

    def __len__(self) -> int:
        return self.backend_tokenizer.get_vocab_size(with_added_tokens=True)

    def __call__(self, text: str, *, add_special_tokens: bool = True) -> dict[str, list[int]]:
        encoding = self.backend_tokenizer.encode(text, add_special_tokens=add_special_tokens)
        return {"input_ids": encoding.ids}

    def decode(
        self,
        ids: Sequence[int],
        *,
        skip_special_tokens: bool = False,
        clean_up_tokenization_spaces: bool = False,
    ) -> str:
        """The text of `ids`; it is never cleaned up."""
        assert not clean_up_tokenization_spaces
        return self.backend_tokenizer.decode(list(ids), skip_special_tokens=skip_special_tokens)

    def get_vocab(self) -> dict[str, int]:
        """Ids by token, the added ones included."""
        return self.backend_tokenizer.get_vocab(with_added_tokens=True)

    @property
    def all_special_tokens(self) -> list[str]:
        """Their texts, each once."""
        added = [each.content for each in self.added_tokens_decoder.values() if each.special]
        return list(dict.fromkeys([*self.special_tokens_map.values(), *added]))

    @property
    def silent_ids(self) -> frozenset[int]:
        """Ids that stand for no text: what ends, begins and pads a sequence."""
        marks = (self.special_tokens_map.get(name) for name in _SILENT)
        ids = {self.backend_tokenizer.token_to_id(mark) for mark in marks if mark is not None}
        return frozenset({each for each in ids if each is not None} | self._end_ids)

    @property
    def leading_text(self) -> str:
        """What the tokenizer itself puts before a text, and servers with it."""
        before = self.backend_tokenizer.encode("a", add_special_tokens=True).ids
        bare = self.backend_tokenizer.encode("a", add_special_tokens=False).ids
        return self.decode(before[: max(0, len(before) - len(bare))] if before != bare else [])

    def apply_chat_template(
        self, messages: Sequence[Mapping[str, Any]], *, tokenize: bool, **options: Any
    ) -> str:
        """The prompt; `options` are the template's variables. Raises what the template raises."""
        assert not tokenize
        tools = options.pop("tools", None)
        return self._template.render(
            messages=messages, tools=tools, documents=None, **(self.special_tokens_map | options)
        )

    @cached_property
    def _template(self) -> Any:
        assert self.chat_template is not None
        return _environment().from_string(self.chat_template)


_SILENT = ("bos_token", "eos_token", "pad_token")


def _read_template(folder: Path, config: Mapping[str, Any]) -> str | None:
    """A file of its own wins; of several named templates the default."""
    path = folder / "chat_template.jinja"
    if path.is_file():
        return path.read_text(encoding="utf-8")
    given = config.get("chat_template")
    if isinstance(given, list):
        given = {each["name"]: each["template"] for each in given}.get("default")
    return given if isinstance(given, str) else None


def _content(token: Any) -> str:
    return str(token["content"] if isinstance(token, dict) else token)


def _read_object(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        value = json_of(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is no JSON: {error}") from error
    if not isinstance(value, dict):
        raise ValueError(f"{path} holds no object")
    return value


def _environment() -> Any:
    """Jinja as chat templates expect it."""
    from jinja2 import nodes
    from jinja2.exceptions import TemplateError
    from jinja2.ext import Extension, loopcontrols
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    class Generation(Extension):
        """`{% generation %}`, with which templates mark the assistant's own text, as that text."""

        tags = {"generation"}  # noqa: RUF012  (jinja's own way)

        def parse(self, parser: Any) -> Any:
            line = next(parser.stream).lineno
            body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
            return nodes.Scope(body, lineno=line)

    def raise_exception(message: str) -> None:
        raise TemplateError(message)

    def tojson(value: Any, **options: Any) -> str:
        return json.dumps(value, **{"ensure_ascii": False, **options})

    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, loopcontrols]
    )
    environment.filters["tojson"] = tojson
    environment.globals["raise_exception"] = raise_exception
    environment.globals["strftime_now"] = lambda form: datetime.now().strftime(form)
    return environment
