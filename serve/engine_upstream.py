"""The engine over another server's API: prompts rendered here or there, streams from there."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..guard import ReasoningFormat
from ..guard.backend_async import AsyncBackend
from ..guard.backend_upstream import AsyncUpstreamBackend
from ..guard.backend_upstream_chat import UNBOUNDED, WHY_NO_INTERVENTION, AsyncChatBackend
from ..guard.detokenizer import Vocabulary
from ..guard.tokenizer_folder import FolderTokenizer
from ..guard.upstream_client import UpstreamClient
from ..guard.upstream_codecs import ServerCodec, TextCodec, VocabularyCodec
from ..guard.upstream_discovery import (
    Rendering,
    Upstream,
    UpstreamMode,
    discover,
    discover_tags,
)
from ..guard.upstream_settings import UpstreamSettings
from .engine_options import Option
from .engine_prompts import Prompts, format_named
from .upstream_fields import fields_of
from .upstream_prompts import ChatPrompts, LocalPrompts, ServedPrompts


@dataclass(frozen=True, slots=True)
class Connection:
    """How one upstream is spoken to."""

    client: UpstreamClient
    backend: AsyncBackend
    prompts: Prompts
    max_model_len: int


class UpstreamEngine:
    """One model of a server, or of several that serve the same."""

    def __init__(
        self,
        upstream: Upstream,
        connection: Connection,
        *,
        model_names: Sequence[str] = (),
        options: Mapping[str, Option],
    ) -> None:
        """`model_names` is what requests call the model; by default its name there."""
        self.backend = connection.backend
        self.prompts = connection.prompts
        self.max_model_len = connection.max_model_len
        self.model_names = (*(model_names or (upstream.model,)), *upstream.adapters)
        self.adapters = {name: name for name in upstream.adapters}
        self.stored_name = upstream.model
        self.options = options
        self.why_no_intervention = (
            f"{upstream.root} cannot be guarded with the policy intervene, since "
            + WHY_NO_INTERVENTION
            if upstream.mode is UpstreamMode.CHAT
            else None
        )
        self._client = connection.client

    async def ready(self) -> bool:
        """Whether one of the servers answers."""
        return await self._client.reachable()

    async def close(self) -> None:
        """Closes the connections; the upstream goes on."""
        await self._client.close()


def new_upstream_engine(
    url: str,
    settings: UpstreamSettings,
    *,
    api_key: str | None = None,
    model_names: Sequence[str] = (),
    max_model_len: int | None = None,
    reasoning_format: str = "auto",
) -> UpstreamEngine:
    """Asks the upstream what it is, and makes the engine for it. It waits: not for event loops.

    Raises `UpstreamError`, `ValueError` or `OSError` with a sentence that says what to do.
    """
    tokenizer = None
    if settings.tokenizer is not None:
        tokenizer = FolderTokenizer.from_folder(settings.tokenizer)
    form = format_named(reasoning_format)
    upstream = discover(url, settings, api_key)
    renders = tokenizer is not None or upstream.rendering is not Rendering.NONE
    if upstream.mode is not UpstreamMode.CHAT and not renders:
        raise ValueError(
            f"the upstream {upstream.root} renders no chat templates: give --tokenizer and the "
            "folder of its model, or --upstream-mode chat"
        )
    client = UpstreamClient([url, *settings.upstream_replica], settings, api_key)
    if upstream.mode is UpstreamMode.CHAT:
        connection = _chat_connection(client, upstream, max_model_len)
    elif tokenizer is not None:
        length = _checked_length(upstream, max_model_len)
        form = form or ReasoningFormat.detect(tokenizer.get_vocab())
        connection = _local_connection(client, upstream, tokenizer, form, length)
    else:
        length = _checked_length(upstream, max_model_len)
        form = form or ReasoningFormat.detect(discover_tags(upstream, settings, api_key))
        connection = _served_connection(client, upstream, form, length)
    return UpstreamEngine(
        upstream,
        connection,
        model_names=model_names,
        options=fields_of(upstream.mode, settings.upstream_field),
    )


def _chat_connection(
    client: UpstreamClient, upstream: Upstream, max_model_len: int | None
) -> Connection:
    """The upstream renders unseen, and may not say how much its context holds."""
    length = max_model_len or upstream.max_model_len
    backend = AsyncChatBackend(client, upstream.model, max_tokens_known=length is not None)
    return Connection(client, backend, ChatPrompts(upstream.model), length or UNBOUNDED)


def _local_connection(
    client: UpstreamClient,
    upstream: Upstream,
    tokenizer: FolderTokenizer,
    form: ReasoningFormat,
    length: int,
) -> Connection:
    """Prompts are rendered here, with the tokenizer of the upstream's model."""
    as_text = upstream.mode is UpstreamMode.TEXT
    prompts = LocalPrompts(tokenizer, form, upstream.model, as_text=as_text)
    codec = (
        TextCodec(upstream.text_fields)
        if as_text
        else VocabularyCodec(Vocabulary(tokenizer.backend_tokenizer, tokenizer.silent_ids))
    )
    backend = AsyncUpstreamBackend(client, upstream.model, codec, reasoning_format=form)
    return Connection(client, backend, prompts, length)


def _served_connection(
    client: UpstreamClient, upstream: Upstream, form: ReasoningFormat, length: int
) -> Connection:
    """Prompts are rendered by the upstream."""
    as_text = upstream.mode is UpstreamMode.TEXT
    codec = TextCodec(upstream.text_fields) if as_text else ServerCodec(client, upstream.model)
    backend = AsyncUpstreamBackend(client, upstream.model, codec, reasoning_format=form)
    return Connection(client, backend, ServedPrompts(client, upstream, form), length)


def _checked_length(upstream: Upstream, asked: int | None) -> int:
    limit = upstream.max_model_len
    if asked is not None and limit is not None and asked > limit:
        raise ValueError(f"--max-model-len is {asked}: this model reaches {limit}")
    length = asked or limit
    if length is None:
        raise ValueError(
            f"the upstream {upstream.root} does not say how much its context holds: give "
            "--max-model-len"
        )
    return length
