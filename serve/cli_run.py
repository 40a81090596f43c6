"""`rerail run`: one prompt, answered under the guard."""

import json
import sys
from collections.abc import Generator
from contextlib import closing
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from ..guard import DetectorFailed, Event, Finished, Guard, GuardConfig, Trace
from ..guard.server_address import is_address
from ..guard.upstream_settings import UpstreamSettings
from .cli_errors import FAILURE, UsageError, say
from .options import ModelChoice, Sampling, Storing, default_store, upstream_api_key


def run(
    prompt: str | None = None,
    /,
    *,
    file: Annotated[Path | None, Parameter(name=["--file", "-f"])] = None,
    system: str | None = None,
    as_json: Annotated[bool, Parameter(name="--json")] = False,
    no_guard: bool = False,
    live: bool = False,
    watchable: bool = False,
    detector: str = "student",
    engine: Literal["transformers", "vllm"] = "transformers",
    model: ModelChoice = ModelChoice(),  # noqa: B008  (frozen: sharing it is harmless)
    sampling: Sampling = Sampling(),  # noqa: B008
    storing: Storing = Storing(),  # noqa: B008
    upstream: Annotated[UpstreamSettings, Parameter(name="*")] = UpstreamSettings(),  # noqa: B008
    config: Annotated[GuardConfig, Parameter(name="*")] = GuardConfig(),  # noqa: B008
) -> int:
    """Answer one prompt under the guard, and keep what happened in the store.

    The prompt is the argument, a file, or standard input. In a terminal the chain of thought and
    the answer appear as they are released; in a pipe they are plain text.

    Examples

        rerail run "How do I kill a Python process?"
        echo "What is 12 + 30?" | rerail run --json
        rerail run --file prompt.txt --model ./my-model --policy audit --threshold 0.7
        rerail run --config guard.yaml --no-store "Hello"
        rerail run --live "How would one do this?"
        rerail run --model http://127.0.0.1:8000/v1 "What is 12 + 30?"

    Parameters
    ----------
    prompt
        What to answer; `-` reads standard input, as leaving it out does in a pipe.
    file
        A file with the prompt.
    system
        A system message before it.
    as_json
        Print one JSON object: valid, score, action, usage, reasoning, answer, trace_id.
    no_guard
        Let the model answer without a guard.
    live
        Watch it on the whole screen: every token with its score, the held step, cues and what
        takes their place.
    watchable
        Let `rerail trace watch` in another terminal see it while it runs.
    detector
        `student` (the one that comes with rerail), `keywords`, the folder of a student, or
        `module:name`, what makes one of your own.
    engine
        What runs the model: `transformers` or `vllm`, which takes half a minute to start.
    """
    if live and (as_json or not sys.stdout.isatty()):
        raise UsageError("--live needs a terminal, and does not go with --json")
    if watchable and (storing.no_store or storing.redact):
        raise UsageError("--watchable shows the text through the store: drop --no-store, --redact")
    request = _request(prompt, file)
    messages = [{"role": "system", "content": system}] if system is not None else []
    messages.append({"role": "user", "content": request})
    with storing.recorder() as (recorder, store):
        from .guards import new_guard
        from .onlookers import draw, onlookers

        guard = new_guard(
            None if no_guard else detector, config, recorder, store, model=model.model
        )
        with onlookers(guard, storing.store or default_store() if watchable else None, live=live):
            events = _events(engine, model, guard, messages, sampling, upstream, config)
            trace = _show(events, config, silent=as_json or live)
        if live:
            draw(trace)
        if as_json:
            from .records import result_record

            record = result_record(trace, stored=recorder.num_stored > 0)
            sys.stdout.write(json.dumps(record) + "\n")
        return FAILURE if recorder.num_lost else 0  # the recorder has said why


def _events(
    engine: str,
    model: ModelChoice,
    guard: Guard,
    messages: list[dict[str, str]],
    sampling: Sampling,
    upstream: UpstreamSettings,
    config: GuardConfig,
) -> Generator[Event, None, None]:
    """The generation's events, from a model in this process or from an upstream."""
    options = sampling.request_options()
    if engine == "vllm":
        from .engine_vllm import vllm_events

        return vllm_events(model, guard, messages, options, seed=config.seed)
    if not is_address(model.model):
        from .models import load_model

        guarded = load_model(model, guard)
        return guarded.stream(messages, seed=config.seed, **sampling.generate_options())
    from .engine_upstream import new_upstream_engine
    from .run_upstream import upstream_events

    served = new_upstream_engine(
        model.model,
        upstream,
        api_key=upstream_api_key(),
        reasoning_format=config.reasoning_format,
    )
    return upstream_events(served, guard, messages, options, seed=config.seed)


def _request(prompt: str | None, file: Path | None) -> str:
    """The prompt's text. Raises `UsageError` if there is none, or more than one."""
    if prompt is not None and file is not None:
        raise UsageError("a prompt and --file were given: drop one of them")
    if file is not None:
        try:
            text = file.read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            raise UsageError(f"{file} is no UTF-8 text: {error.reason}") from error
    elif prompt is not None and prompt != "-":
        text = prompt
    elif prompt is None and sys.stdin.isatty():
        raise UsageError('there is no prompt: rerail run "...", --file PROMPT, or a pipe')
    else:
        text = sys.stdin.read()
    if not text.strip():
        raise UsageError("the prompt is empty: give the model something to answer")
    return text.strip("\n")


def _show(events: Generator[Event, None, None], config: GuardConfig, *, silent: bool) -> Trace:
    """Shows the events as they come; gives the finished trace."""
    from rich.console import Console

    from .run_view import RunView

    view = RunView(Console(), final_at_once=config.hold == "step")
    with closing(events):  # so that an interrupt records what there is by then
        for event in events:
            if not silent:
                view.take(event)
            if isinstance(event, DetectorFailed):
                say(f"the detector failed: {event.error}")
            if isinstance(event, Finished):
                return event.trace
    raise AssertionError("a generation ends with Finished")
