"""The choices of one request: what each is generated from, and how its text becomes deltas."""

from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from ..guard import Event, Guard, Prompt
from ..guard.backend_async import AsyncBackend
from ..guard.loop_async import guarded_async
from .logprob_tap import LogprobTap
from .server_service import Service
from .stop_strings import StoppingBackend
from .wire_deltas import Deltas, Draft
from .wire_errors import ApiError
from .wire_generation import GenerationRequest


@dataclass(frozen=True, slots=True)
class Choice:
    """One answer that is to be generated."""

    events: Callable[[], AsyncGenerator[Event]]
    """Begins; gives what happens under the guard, `Finished` last."""

    deltas: Deltas


def new_choices(
    service: Service,
    guard: Guard,
    prompts: Sequence[Prompt],
    request: GenerationRequest,
    new_draft: Callable[[Prompt, int], Draft],
    *,
    everywhere: bool = False,
) -> list[Choice]:
    """`n` for each prompt, all of the model that is in service now.

    `new_draft` gets a choice's prompt and its index in the answer. `everywhere`: stop strings and
    log probabilities are of the whole text, markup and chain of thought included, as for plain
    completions; else of the answer. Raises `ApiError` for a prompt that leaves no room in the
    context.
    """
    engine = service.engine
    adapters = engine.adapters  # read once: it may be another one for the next request
    stopping: AsyncBackend = engine.backend
    if request.stop:
        stopping = StoppingBackend(stopping, request.stop, everywhere=everywhere)
    choices: list[Choice] = []
    for prompt in prompts:
        budget = _budget(prompt, request, engine.max_model_len)
        for _ in range(request.n):
            index = len(choices)
            sampling = request.sampling_of(index, budget)
            model = prompt.model
            if request.model in adapters:
                sampling["lora"] = adapters[request.model]
                model = f"{model}+{sampling['lora']}"
            own = replace(
                prompt,
                model=model,
                sampling=sampling,
                seed=request.seed,
                topic=request.guard.topic if request.guard is not None else None,
            )
            tap = LogprobTap(everywhere=everywhere) if request.logprobs is not None else None
            watched, backend = guard, stopping
            if tap is not None:
                watched, backend = tap.guard(guard), tap.backend(stopping)
            events = partial(
                guarded_async, backend, watched, service.judge, own, sampling, stream_index=index
            )
            choices.append(Choice(events, Deltas(partial(new_draft, prompt, index), tap)))
    return choices


def _budget(prompt: Prompt, request: GenerationRequest, max_model_len: int) -> int:
    room = max_model_len - prompt.num_tokens
    if room < 1 or (request.max_tokens is not None and request.max_tokens > room):
        wanted = f" and {request.max_tokens} for the answer" if request.max_tokens else ""
        raise ApiError(
            400,
            f"the prompt has {prompt.num_tokens} tokens{wanted}, and this model's context "
            f"{max_model_len}: shorten the prompt or lower max_tokens",
            param="messages",
            code="context_length_exceeded",
        )
    return request.max_tokens or room
