"""The engine over another server's API: prompts rendered here or there, streams from there."""

from collections.abc import Mapping, Sequence

from ..guard import ReasoningFormat
from ..guard.backend_async import AsyncBackend
from ..guard.backend_upstream import AsyncUpstreamBackend
from ..guard.backend_upstream_chat import UNBOUNDED, WHY_NO_INTERVENTION, AsyncChatBackend
from ..guard.detokenizer import Vocabulary
from ..guard.tokenizer_folder import FolderTokenizer
from ..guard.upstream_client import UpstreamClient
from ..guard.upstream_codecs import ServerCodec, TextCodec, TokenCodec, VocabularyCodec
from ..guard.upstream_discovery import (
    Rendering,
    Upstream,
    UpstreamMode,
    discover,
    discover_tags,
)
from ..guard.upstream_settings import UpstreamSettings
from .engine import Option
from .engine_prompts import PromptedEngine, Prompts, format_named
from .upstream_fields import fields_of
from .upstream_prompts import ChatPrompts, LocalPrompts, ServedPrompts


class UpstreamEngine(PromptedEngine):
    """One model of a server, or of several that serve the same."""

    def __init__(
        self,
        upstream: Upstream,
        client: UpstreamClient,
        backend: AsyncBackend,
        prompts: Prompts,
        *,
        model_names: Sequence[str],
        max_model_len: int,
        options: Mapping[str, Option],
    ) -> None:
        super().__init__(prompts)
        self.backend = backend
        self.model_names = (*model_names, *upstream.adapters)
        self.adapters = {name: name for name in upstream.adapters}
        self.stored_name = upstream.model
        self.max_model_len = max_model_len
        self.options = options
        self.why_no_intervention = (
            f"{upstream.root} cannot be guarded with the policy intervene, since "
            + WHY_NO_INTERVENTION
            if upstream.mode is UpstreamMode.CHAT
            else None
        )
        self._client = client

    async def ready(self) -> bool:
        return await self._client.reachable()

    async def close(self) -> None:
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
    named = format_named(reasoning_format)
    upstream = discover(url, settings, api_key)
    renders = tokenizer is not None or upstream.rendering is not Rendering.NONE
    if upstream.mode is not UpstreamMode.CHAT and not renders:
        raise ValueError(
            f"the upstream {upstream.root} renders no chat templates: give --tokenizer and the "
            "folder of its model, or --upstream-mode chat"
        )
    client = UpstreamClient([url, *settings.upstream_replica], settings, api_key)
    if upstream.mode is UpstreamMode.CHAT:
        length = max_model_len or upstream.max_model_len
        known = length is not None
        backend: AsyncBackend = AsyncChatBackend(client, upstream.model, max_tokens_known=known)
        prompts: Prompts = ChatPrompts(upstream.model)
        length = length or UNBOUNDED
    else:
        length = _checked_length(upstream, max_model_len)
        vocabulary = (
            tokenizer.get_vocab()
            if tokenizer is not None
            else discover_tags(upstream, settings, api_key)
        )
        form = named or ReasoningFormat.detect(vocabulary)
        if tokenizer is not None:
            as_text = upstream.mode is UpstreamMode.TEXT
            prompts = LocalPrompts(tokenizer, form, upstream.model, as_text=as_text)
        else:
            prompts = ServedPrompts(client, upstream, form)
        codec = _codec(client, upstream, tokenizer)
        backend = AsyncUpstreamBackend(client, upstream.model, codec, reasoning_format=form)
    return UpstreamEngine(
        upstream,
        client,
        backend,
        prompts,
        model_names=tuple(model_names) or (upstream.model,),
        max_model_len=length,
        options=fields_of(upstream.mode, settings.upstream_field),
    )


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


def _codec(
    client: UpstreamClient, upstream: Upstream, tokenizer: FolderTokenizer | None
) -> TokenCodec:
    if upstream.mode is UpstreamMode.TEXT:
        return TextCodec(upstream.text_fields)
    if tokenizer is None:
        return ServerCodec(client, upstream.model)
    return VocabularyCodec(Vocabulary(tokenizer.backend_tokenizer, tokenizer.silent_ids))
