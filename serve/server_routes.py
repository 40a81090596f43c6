"""The endpoints."""

import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response

from ..guard import Guard, Prompt
from .engine import Engine
from .server_choices import new_choices
from .server_edge import RequestState
from .server_failures import told
from .server_generations import Job, respond
from .server_logs import hashed
from .server_responses import ApiResponse
from .server_service import Service
from .wire_body import read_body
from .wire_chat_answer import ChatAnswer
from .wire_chat_request import ChatRequest, read_chat
from .wire_completion_answer import CompletionAnswer
from .wire_completion_request import CompletionRequest, read_completion
from .wire_deltas import ChatDraft, PlainDraft
from .wire_errors import ApiError, invalid
from .wire_generation import GenerationRequest
from .wire_tool_calls import call_id

Endpoint = Callable[[Request], Awaitable[Response]]


class Routes:
    """The endpoints of one service."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._created = int(time.time())

    def add_to(self, app: FastAPI) -> None:
        """Every path that is answered."""
        for path, method, endpoint in (
            ("/v1/chat/completions", "POST", self.chat_completions),
            ("/v1/completions", "POST", self.completions),
            ("/v1/models", "GET", self.models),
            ("/v1/models/{name:path}", "GET", self.model),
            ("/tokenize", "POST", self.tokenize),
            ("/health", "GET", self.health),
            ("/ready", "GET", self.ready),
            ("/metrics", "GET", self.metrics),
        ):
            app.router.add_route(path, self._answering(endpoint), methods=[method])

    def _answering(self, endpoint: Endpoint) -> Endpoint:
        """The endpoint, with its errors as answers."""

        async def answer(http: Request) -> Response:
            try:
                return await endpoint(http)
            except Exception as error:
                known = told(error, self._service.metrics, _state(http).id, kind="internal")
                return ApiResponse(known.body, known.status, known.headers)

        return answer

    async def chat_completions(self, http: Request) -> Response:
        """Answers a conversation."""
        service, state = self._service, _state(http)
        engine = service.engine
        chat = read_chat(await _body(http), engine, max_choices=service.settings.max_choices)
        request = chat.generation

        def new_draft(prompt: Prompt, index: int) -> ChatDraft:
            origin = f"{request.seed}:{index}:{prompt.text}"
            new_call_id = partial(call_id, origin=origin)
            return ChatDraft(request.stop, tools=bool(chat.tools), new_call_id=new_call_id)

        with ExitStack() as admission:
            guard = self._enter(admission, state, request, request.n)
            prompts = [await _rendered(engine, chat)]
            choices = new_choices(service, guard, prompts, request, new_draft)
            answer = ChatAnswer(
                id=f"chatcmpl-{state.id}",
                created=int(time.time()),
                model=request.model,
                reasoning_name=service.settings.reasoning_field,
                include_usage=request.include_usage,
                num_top_logprobs=request.logprobs,
            )
            job = Job(service, state, request, prompts, choices, answer, admission.pop_all())
        return await respond(http, job)

    async def completions(self, http: Request) -> Response:
        """Continues prompts that the caller wrote whole."""
        service, state = self._service, _state(http)
        engine = service.engine
        body = await _body(http)
        completion = read_completion(body, engine, max_choices=service.settings.max_choices)
        request = completion.generation

        def new_draft(prompt: Prompt, index: int) -> PlainDraft:
            return PlainDraft(request.stop)

        with ExitStack() as admission:
            guard = self._enter(admission, state, request, request.n * len(completion.prompts))
            prompts = await _completed(engine, completion)
            choices = new_choices(service, guard, prompts, request, new_draft, everywhere=True)
            echoes = [prompt.text for prompt in prompts for _ in range(request.n)]
            answer = CompletionAnswer(
                id=f"cmpl-{state.id}",
                created=int(time.time()),
                model=request.model,
                echoes=echoes if completion.echo else (),
                include_usage=request.include_usage,
                num_top_logprobs=request.logprobs,
            )
            job = Job(service, state, request, prompts, choices, answer, admission.pop_all())
        return await respond(http, job)

    async def models(self, http: Request) -> Response:
        """The names that requests may ask for."""
        engine = self._service.engine
        records = [self._model_record(name, engine) for name in engine.model_names]
        return ApiResponse({"object": "list", "data": records})

    async def model(self, http: Request) -> Response:
        """One of them."""
        engine, name = self._service.engine, http.path_params["name"]
        if name not in engine.model_names:
            raise ApiError(
                404, f"there is no model {name!r} here", param="model", code="model_not_found"
            )
        return ApiResponse(self._model_record(name, engine))

    async def tokenize(self, http: Request) -> Response:
        """The ids of a text (`prompt`), or of the prompt that `messages` give."""
        engine, body = self._service.engine, await _body(http)
        if "prompt" in body:
            unknown = set(body) - {"model", "prompt"}
            if unknown or not isinstance(body["prompt"], str):
                raise invalid(min(unknown, default="prompt"), "give prompt (a text) and model")
            ids = await _of_user(engine.prompts.tokenize(body["prompt"]), "prompt")
        else:
            named = {"model": engine.model_names[0], **body}
            chat = read_chat(named, engine, max_choices=self._service.settings.max_choices)
            ids = (await _rendered(engine, chat)).ids
        record = {"tokens": list(ids), "count": len(ids), "max_model_len": engine.max_model_len}
        return ApiResponse(record)

    async def health(self, http: Request) -> Response:
        """The process lives."""
        return ApiResponse({"status": "ok"})

    async def ready(self, http: Request) -> Response:
        """Whether requests may be sent here."""
        problem = await self._service.readiness()
        status = {"status": "ready"} if problem is None else {"status": problem}
        return ApiResponse(status, 200 if problem is None else 503)

    async def metrics(self, http: Request) -> Response:
        """For Prometheus."""
        return Response(self._service.metrics.page(), media_type="text/plain; version=0.0.4")

    def _enter(
        self,
        admission: ExitStack,
        state: RequestState,
        request: GenerationRequest,
        num_choices: int,
    ) -> Guard:
        """Checks rights and room; gives the request's guard."""
        assert state.caller is not None
        guard = self._service.guard_for(request.guard, state.caller)
        admission.enter_context(self._service.admitted(state.caller, num_choices))
        state.log |= {"n": num_choices, "stream": request.stream}
        if request.user is not None:
            state.log["user"] = hashed(request.user)
        return guard

    def _model_record(self, name: str, engine: Engine) -> dict[str, Any]:
        return {
            "id": name,
            "object": "model",
            "created": self._created,
            "owned_by": "rerail",
            "max_model_len": engine.max_model_len,
        }


def _state(http: Request) -> RequestState:
    return http.scope["rerail"]


async def _body(http: Request) -> dict[str, Any]:
    return read_body(await http.body())


async def _of_user(work: Any, param: str) -> Any:
    """What an engine says about a text that it cannot take is the caller's mistake."""
    try:
        return await work
    except ValueError as error:
        raise invalid(param, str(error)) from error


async def _rendered(engine: Engine, chat: ChatRequest) -> Prompt:
    return await _of_user(
        engine.prompts.render(chat.messages, chat.tools, chat.template_options), "messages"
    )


async def _completed(engine: Engine, completion: CompletionRequest) -> Sequence[Prompt]:
    return [await _of_user(engine.prompts.complete(each), "prompt") for each in completion.prompts]
