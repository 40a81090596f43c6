"""`rerail serve`: an OpenAI-compatible server whose every answer is guarded."""

import os
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from ..guard import GuardConfig, ReasoningFormat
from ..guard.json_text import json_of
from ..guard.upstream_settings import UpstreamSettings
from .cli_errors import FAILURE, UsageError, options_checked
from .extras import need
from .options import ModelChoice, Storing, default_store
from .server_settings import ServerSettings, Trust


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
    device: str | None = None,
    dtype: str | None = None,
    trust_remote_code: bool = False,
    engine_args: str | None = None,
    lora_modules: tuple[str, ...] = (),
    settings: ServerSettings = ServerSettings(),  # noqa: B008  (frozen: sharing it is harmless)
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
    device
        Such as `cpu` or `cuda`; by default where the model library puts it.
    dtype
        Such as `bfloat16`; by default the one that the model was saved in.
    trust_remote_code
        Run code that comes with the model. Only for models that you trust like a program.
    engine_args
        Arguments of vLLM's engine as a JSON object, such as '{"tensor_parallel_size": 2}'.
    lora_modules
        A LoRA adapter that --engine vllm serves beside the model: NAME=FOLDER; requests that ask
        for the model NAME get it. May be given several times. An upstream's are found by asking it.
    """
    need("serve")
    from ..guard.triggers import TriggerPool
    from .api_keys import ApiKeys, keys_from_file, keys_from_values
    from .engines import EngineChoice, engine_name, load_engine
    from .server_run import check_exposure, run_server
    from .server_service import Parts, Service
    from .trace_writer import TraceWriter
    from .vllm_adapters import named_adapters

    if reasoning_parser is not None:
        with options_checked():
            ReasoningFormat.named(reasoning_parser)
    with options_checked():
        if lora_modules and engine != "vllm":
            raise UsageError("--lora-modules is for --engine vllm: drop it, or name that engine")
        adapters = named_adapters(lora_modules)
    choice = EngineChoice(
        model=ModelChoice(
            model=model, device=device, dtype=dtype, trust_remote_code=trust_remote_code
        ),
        served_names=settings.served_model_name,
        max_model_len=settings.max_model_len,
        reasoning_format=reasoning_parser or config.reasoning_format,
        upstream=upstream,
        upstream_api_key=os.environ.get("RERAIL_UPSTREAM_API_KEY") or None,
        engine_args=_json_object(engine_args, engine),
        adapters=adapters,
    )
    with options_checked():
        engine = engine_name(engine, model)
        trusted = settings.trust is not Trust.MARKED
        from_environment = os.environ.get("RERAIL_API_KEYS", "").replace(",", " ").split()
        keys = keys_from_values(settings.api_key, "api-key", trusted=trusted)
        keys += keys_from_values(from_environment, "environment", trusted=trusted)
        if settings.api_key_file is not None:
            keys += keys_from_file(settings.api_key_file, trusted=trusted)
        check_exposure(settings, len(keys))
        api_keys = ApiKeys(keys, anonymous_trusted=settings.trust is Trust.ALL)

        if watchable and (storing.no_store or storing.redact):
            raise UsageError(
                "--watchable shows the text through the store: drop --no-store, --redact"
            )

    store = None if storing.no_store else storing.open()
    success = {} if store is None else store.trigger_success()

    def load() -> Parts:
        from .detectors import detector_for

        triggers = TriggerPool.built_in()
        if config.triggers is not None:
            triggers = TriggerPool.from_file(config.triggers, replace=config.replace_triggers)
        if config.trigger_sampling == "adaptive":
            triggers = triggers.adaptive(success)
        found = None if no_guard else detector_for(detector, choice.model.model)
        return Parts(load_engine(engine, choice, follow), found, triggers)

    writer = TraceWriter(
        store,
        redacted=storing.redact,
        capacity=settings.store_buffer,
        when_unstored=settings.when_unstored,
    )
    with ExitStack() as stack:
        watch = None
        if watchable:
            from .live_channel import LiveWriter

            watch = stack.enter_context(LiveWriter(storing.store or default_store())).watch
        service = Service(load, config, settings, api_keys, writer, watch=watch)
        return 0 if run_server(service) else FAILURE


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
