"""`rerail serve`: an OpenAI-compatible server whose every answer is guarded."""

import os
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from ..guard import Guard, GuardConfig, ReasoningFormat
from ..guard.json_text import json_of
from ..guard.upstream_settings import UpstreamSettings
from .cli_errors import FAILURE, UsageError, options_checked
from .extras import need
from .options import ModelChoice, ModelLoading, Storing, default_store, upstream_api_key
from .server_settings import ServerSettings, Trust

if TYPE_CHECKING:
    from .api_keys import ApiKeys


def serve(
    model: str = "sandbox",
    /,
    *,
    engine: str = "auto",
    detector: str = "student",
    no_guard: bool = False,
    watchable: bool = False,
    follow: Path | None = None,
    reasoning_parser: str | None = None,
    loading: ModelLoading = ModelLoading(),  # noqa: B008  (frozen: sharing it is harmless)
    engine_args: str | None = None,
    lora_modules: tuple[str, ...] = (),
    settings: ServerSettings = ServerSettings(),  # noqa: B008
    storing: Storing = Storing(),  # noqa: B008
    upstream: Annotated[UpstreamSettings, Parameter(name="*")] = UpstreamSettings(),  # noqa: B008
    config: Annotated[GuardConfig, Parameter(name="*")] = GuardConfig(),  # noqa: B008
) -> int:
    """Serve a model behind the OpenAI API, with every answer guarded.

    Clients use it as they would use OpenAI's or vLLM's server. On SIGTERM it takes nothing new and
    lets running generations end.

    Examples

        rerail serve
        rerail serve ./my-model --port 8001 --policy audit
        rerail serve http://127.0.0.1:8001/v1 --tokenizer ./my-model
        rerail serve ./my-model --host 0.0.0.0 --api-key-file keys.txt --store postgresql://...
        curl localhost:8000/v1/chat/completions -H 'content-type: application/json' \\
            -d '{"model": "sandbox", "messages": [{"role": "user", "content": "Hello"}]}'

    Parameters
    ----------
    model
        A model's folder or its name on the Hugging Face hub; `sandbox` is the small one that comes
        with rerail. Or the address of an OpenAI-compatible server that runs the model, such as
        vLLM; if it wants an API key, put it in RERAIL_UPSTREAM_API_KEY.
    engine
        What runs it: `transformers` or `vllm`, in this process, or `upstream`, another server;
        `auto` takes the upstream for an address and transformers for all else.
    detector
        `student` (the one that comes with rerail), `keywords`, the folder of a student, or
        `module:name`, what makes one of your own.
    no_guard
        Serve without a guard: every trace and metric then says that nothing was scanned.
    watchable
        Let `rerail trace watch` on the same store see generations while they run.
    follow
        A file that names the model to serve, such as the `promoted.json` of `rerail train watch`:
        when it changes, new requests get the new model, and streams that run end with the old one.
        With --engine vllm it may change the adapter over the model (--promotion stack).
    reasoning_parser
        The same as --reasoning-format, by the name that it has in vLLM.
    engine_args
        Arguments of vLLM's engine as a JSON object, such as '{"tensor_parallel_size": 2}'.
    lora_modules
        A LoRA adapter that --engine vllm serves beside the model: NAME=FOLDER; requests that ask
        for the model NAME get it. May be given several times. An upstream's are found by asking it.
    """
    need("serve")
    from .detectors import detector_for
    from .engines import EngineChoice, engine_name, load_engine
    from .server_run import run_server
    from .server_service import Parts, Service
    from .trace_writer import TraceWriter
    from .vllm_adapters import named_adapters

    with options_checked():
        if reasoning_parser is not None:
            ReasoningFormat.named(reasoning_parser)
        if lora_modules and engine != "vllm":
            raise UsageError("--lora-modules is for --engine vllm: drop it, or name that engine")
        if watchable and (storing.no_store or storing.redact):
            raise UsageError(
                "--watchable shows the text through the store: drop --no-store, --redact"
            )
        choice = EngineChoice(
            model=ModelChoice(model=model, loading=loading),
            served_names=settings.served_model_name,
            max_model_len=settings.max_model_len,
            reasoning_format=reasoning_parser or config.reasoning_format,
            upstream=upstream,
            upstream_api_key=upstream_api_key(),
            engine_args=_json_object(engine_args, engine),
            adapters=named_adapters(lora_modules),
        )
        engine = engine_name(engine, model)
        keys = _keys(settings)
    store = None if storing.no_store else storing.open()
    writer = TraceWriter(
        store,
        redacted=storing.redact,
        capacity=settings.store_buffer,
        when_unstored=settings.when_unstored,
    )

    def load() -> Parts:
        found = None if no_guard else detector_for(detector, model)
        guard = Guard(found, config)
        if store is not None:
            guard.learn_from(store)
        return Parts(load_engine(engine, choice, follow), found, guard.triggers)

    with ExitStack() as stack:
        live = None
        if watchable:
            from .live_channel import LiveWriter

            live = stack.enter_context(LiveWriter(storing.store or default_store()))
        service = Service(load, config, settings, keys, writer, live=live)
        return 0 if run_server(service) else FAILURE


def _keys(settings: ServerSettings) -> "ApiKeys":
    """From the command line, the environment and the file. Raises `ValueError` for what is no key,
    and for a server that strangers could use without one."""
    from .api_keys import ApiKeys, keys_from_file, keys_from_values
    from .server_run import check_exposure

    trusted = settings.trust is not Trust.MARKED
    from_environment = os.environ.get("RERAIL_API_KEYS", "").replace(",", " ").split()
    keys = keys_from_values(settings.api_key, "api-key", trusted=trusted)
    keys += keys_from_values(from_environment, "environment", trusted=trusted)
    if settings.api_key_file is not None:
        keys += keys_from_file(settings.api_key_file, trusted=trusted)
    check_exposure(settings, len(keys))
    return ApiKeys(keys, anonymous_trusted=settings.trust is Trust.ALL)


def _json_object(text: str | None, engine: str) -> dict[str, Any]:
    """`--engine-args`. Raises `UsageError` for what is no object, and where nobody takes it."""
    if text is None:
        return {}
    if engine != "vllm":
        raise UsageError("--engine-args is for --engine vllm: drop it, or name that engine")
    try:
        found = json_of(text)
    except ValueError as error:
        raise UsageError(f"--engine-args is no JSON: {error}") from error
    if not isinstance(found, dict):
        raise UsageError("--engine-args is no JSON object: give '{\"name\": value}'")
    return found
