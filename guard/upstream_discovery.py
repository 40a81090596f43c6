"""What an upstream is and can do, found out by asking it once at the start.

By what it answers and not by its name: a server that gives ids for ids is spoken to in ids, one
that completes text in text, and one that knows chats only in chats. It costs one sampled token.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import httpx

from .json_text import json_of
from .server_address import root_of
from .upstream_client import answered, new_http, refused, told
from .upstream_errors import UpstreamError, UpstreamFault
from .upstream_settings import UpstreamSettings

_ABSENT = frozenset({400, 404, 405, 422, 501})
"""Answers of a server that does not offer an endpoint, or not in this form."""

_WITH_TAGS = {"skip_special_tokens": False, "spaces_between_special_tokens": False}
_PAUSE_S = 1.0


class UpstreamMode(StrEnum):
    """How an upstream is spoken to."""

    IDS = "ids"
    """Raw completions, token ids in and out."""

    TEXT = "text"
    """Raw completions, text in and out."""

    CHAT = "chat"
    """Chat completions only: nothing can be put in."""


class Rendering(StrEnum):
    """Which endpoint turns a conversation into a prompt."""

    TOKENIZE = "/tokenize"
    """vLLM's: ids out of messages."""

    APPLY_TEMPLATE = "/apply-template"
    """llama.cpp's: text out of messages."""

    NONE = "none"
    """Neither: the template of a tokenizer at hand does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Upstream:
    """One model of a server."""

    root: str
    """Its URL, without `/v1`."""

    model: str
    """As the server lists it."""

    adapters: tuple[str, ...] = ()
    """LoRA adapters of the model that the server lists beside it."""

    max_model_len: int | None
    """Tokens of prompt and answer together, where the server says so."""

    mode: UpstreamMode
    """What it can do, or what was asked for."""

    rendering: Rendering
    """Where prompts come from."""

    counts_tokens: bool
    """Whether `/tokenize` counts the tokens of a text."""

    text_fields: Mapping[str, Any]
    """What text completions are asked with, so that control tags come as text, too."""


def discover(url: str, settings: UpstreamSettings, api_key: str | None = None) -> Upstream:
    """Asks the server at `url`. Raises `UpstreamError` or `ValueError` with a sentence that says
    what to do."""
    with new_http(httpx.Client, settings, api_key) as http:
        probe = _Probe(http, root_of(url), settings)
        return probe.upstream()


def discover_tags(
    upstream: Upstream, settings: UpstreamSettings, api_key: str | None = None
) -> frozenset[str]:
    """The control tags of reasoning formats that are single tokens of the upstream's vocabulary,
    for `ReasoningFormat.detect`."""
    with new_http(httpx.Client, settings, api_key) as http:
        probe = _Probe(http, upstream.root, settings)
        return frozenset(tag for tag in _TAGS if probe.is_one_token(upstream.model, tag))


_TAGS = ("<think>", "</think>", "<|channel|>", "<|message|>")


class _Probe:
    def __init__(self, http: httpx.Client, root: str, settings: UpstreamSettings) -> None:
        self._http = http
        self._root = root
        self._settings = settings

    def upstream(self) -> Upstream:
        model, max_model_len, adapters = self._model()
        mode = self._mode(model)
        rendering = Rendering.NONE if mode is UpstreamMode.CHAT else self._rendering(model)
        if max_model_len is None and mode is not UpstreamMode.CHAT:
            max_model_len = self._context_of_props()
        counts = mode is UpstreamMode.TEXT and self._counts_tokens(model)
        return Upstream(
            root=self._root,
            model=model,
            adapters=adapters,
            max_model_len=max_model_len,
            mode=mode,
            rendering=rendering,
            counts_tokens=counts,
            text_fields=self._text_fields(model) if mode is UpstreamMode.TEXT else {},
        )

    def _model(self) -> tuple[str, int | None, tuple[str, ...]]:
        """The model that is meant, its context where it is said, and its adapters."""
        listed = self._first_answer()
        cards = listed.get("data") if isinstance(listed, Mapping) else None
        models = {
            str(card["id"]): card
            for card in (cards if isinstance(cards, list) else [])
            if isinstance(card, Mapping) and card.get("id")
        }
        if not models:
            raise UpstreamError(
                UpstreamFault.MALFORMED, f"the upstream {self._root} lists no models at /v1/models"
            )
        wanted = self._settings.model_name
        names = ", ".join(list(models)[:10])
        whole = [each for each, card in models.items() if card.get("parent") not in models]
        if wanted is None and len(whole) != 1:
            raise ValueError(f"the upstream {self._root} serves {names}: name one, --model-name")
        name = wanted if wanted is not None else whole[0]
        if name not in models:
            raise ValueError(f"the upstream {self._root} serves no {name!r}, but {names}")
        card = models[name]
        length = card.get("max_model_len") or models.get(str(card.get("parent")), {}).get(
            "max_model_len"
        )
        adapters = tuple(each for each, card in models.items() if card.get("parent") == name)
        known = length if isinstance(length, int) and length > 0 else None
        return name, known, adapters

    def _first_answer(self) -> Any:
        """Waits for a server that is not there yet, if that is asked for."""
        until_s = time.monotonic() + self._settings.upstream_wait_s
        while True:
            try:
                return answered(self._get("/v1/models"), self._root)
            except UpstreamError as error:
                if not error.is_passing or time.monotonic() >= until_s:
                    raise
            time.sleep(_PAUSE_S)

    def _mode(self, model: str) -> UpstreamMode:
        if self._settings.upstream_mode != "auto":
            return UpstreamMode(self._settings.upstream_mode)
        asked = {"model": model, "max_tokens": 1, "temperature": 0}
        given = self._try("/v1/completions", {**asked, "prompt": [1], "return_token_ids": True})
        if given is not None and _gives_ids(given):
            return UpstreamMode.IDS
        if given is not None or self._try("/v1/completions", {**asked, "prompt": "Hi"}) is not None:
            return UpstreamMode.TEXT
        return UpstreamMode.CHAT

    def _text_fields(self, model: str) -> Mapping[str, Any]:
        """Servers differ in whether they put up with fields that they do not know."""
        asked = {"model": model, "max_tokens": 1, "temperature": 0, "prompt": "Hi"}
        taken = self._try("/v1/completions", {**asked, **_WITH_TAGS}) is not None
        return _WITH_TAGS if taken else {}

    def _rendering(self, model: str) -> Rendering:
        messages = [{"role": "user", "content": "Hi"}]
        given = self._try("/tokenize", {"model": model, "messages": messages})
        if isinstance(given, Mapping) and isinstance(given.get("tokens"), list):
            return Rendering.TOKENIZE
        given = self._try("/apply-template", {"messages": messages})
        if isinstance(given, Mapping) and isinstance(given.get("prompt"), str):
            return Rendering.APPLY_TEMPLATE
        return Rendering.NONE

    def _context_of_props(self) -> int | None:
        """llama.cpp says it there."""
        try:
            answer = self._get("/props")
            given = json_of(answer.content) if answer.is_success else {}
            settings = given.get("default_generation_settings", {})
            length = settings.get("n_ctx")
        except (UpstreamError, ValueError, KeyError, TypeError, AttributeError):
            return None
        return length if isinstance(length, int) and length > 0 else None

    def _counts_tokens(self, model: str) -> bool:
        """In the words of llama.cpp and of vLLM at once: each ignores the other's."""
        given = self._try(
            "/tokenize", {"model": model, "content": "Hi there", "prompt": "Hi there"}
        )
        return isinstance(given, Mapping) and bool(given.get("tokens"))

    def is_one_token(self, model: str, text: str) -> bool:
        body = {"model": model, "content": text, "prompt": text, "add_special_tokens": False}
        given = self._try("/tokenize", {**body, "parse_special": True})
        tokens = given.get("tokens") if isinstance(given, Mapping) else None
        return isinstance(tokens, list) and len(tokens) == 1

    def _try(self, path: str, body: Mapping[str, Any]) -> Any:
        """The JSON answer; `None` where the server does not offer that. Raises `UpstreamError`."""
        try:
            answer = self._http.post(
                self._root + path, json=body, timeout=self._settings.upstream_first_s
            )
        except httpx.HTTPError as error:
            raise told(error, self._root) from error
        if answer.status_code in _ABSENT:
            return None
        if not answer.is_success:
            raise refused(answer.status_code, answer.content, self._root)
        try:
            return json_of(answer.content)
        except ValueError:
            return None

    def _get(self, path: str) -> httpx.Response:
        try:
            return self._http.get(self._root + path, timeout=self._settings.upstream_stall_s)
        except httpx.HTTPError as error:
            raise told(error, self._root) from error


def _gives_ids(answer: Any) -> bool:
    try:
        ids = answer["choices"][0]["token_ids"]
    except (KeyError, IndexError, TypeError):
        return False
    return isinstance(ids, list) and bool(ids)
