"""`POST /v1/chat/completions`: the body, checked, as a conversation to render and answer."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from openai.types.chat import (
    ChatCompletionAssistantMessageParam,
    ChatCompletionDeveloperMessageParam,
    ChatCompletionSystemMessageParam,
    ChatCompletionToolMessageParam,
    ChatCompletionUserMessageParam,
)
from pydantic import TypeAdapter

from ..guard import Message
from ..guard.json_text import json_of
from .engine import Engine
from .wire_errors import ApiError, invalid
from .wire_fields import CHAT, Fields, check_type
from .wire_generation import GenerationRequest, read_generation
from .wire_logprobs import read_chat_logprobs

_ROLES: Mapping[str, Any] = {
    "system": ChatCompletionSystemMessageParam,
    "developer": ChatCompletionDeveloperMessageParam,
    "user": ChatCompletionUserMessageParam,
    "assistant": ChatCompletionAssistantMessageParam,
    "tool": ChatCompletionToolMessageParam,
}
_FIELDS: Mapping[str, frozenset[str]] = {
    "system": frozenset({"role", "content", "name"}),
    "developer": frozenset({"role", "content", "name"}),
    "user": frozenset({"role", "content", "name"}),
    "assistant": frozenset(
        {"role", "content", "name", "tool_calls", "refusal", "reasoning_content", "reasoning"}
    ),
    "tool": frozenset({"role", "content", "tool_call_id", "name"}),
}
"""What a turn may hold. An assistant's `reasoning_content` (or `reasoning`, as others call it) is
handed to the chat template, most of which leave old chains of thought out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatRequest:
    """The body, checked."""

    messages: tuple[Message, ...]
    """As chat templates take them: text content, tool arguments as objects."""

    tools: tuple[Any, ...]
    template_options: Mapping[str, Any]
    generation: GenerationRequest


def read_chat(body: Mapping[str, Any], engine: Engine, *, max_choices: int) -> ChatRequest:
    """Raises `ApiError` naming the field that cannot be served."""
    fields = Fields(body, CHAT)
    generation = replace(
        read_generation(fields, engine, max_choices=max_choices),
        logprobs=read_chat_logprobs(fields, engine),
    )
    messages = _messages(fields)
    tools = _tools(fields)
    options = fields.take("chat_template_kwargs") or {}
    if not isinstance(options, dict):
        raise invalid("chat_template_kwargs", "give an object")
    for name, value in options.items():
        if name not in engine.prompts.template_options:
            known = ", ".join(sorted(engine.prompts.template_options)) or "none"
            raise invalid(
                f"chat_template_kwargs.{name}", f"this model's chat template reads {known}"
            )
        if not isinstance(value, (str, int, float, bool)):
            raise invalid(f"chat_template_kwargs.{name}", "give a text, a number or a switch")
    fields.finish()
    return ChatRequest(
        messages=messages, tools=tools, template_options=options, generation=generation
    )


def _messages(fields: Fields) -> tuple[Message, ...]:
    value = fields.take_unchecked("messages")
    if not isinstance(value, list) or not value:
        raise invalid("messages", "give a list with at least one message")
    return tuple(_message(each, f"messages[{index}]") for index, each in enumerate(value))


def _message(value: Any, where: str) -> Message:
    if not isinstance(value, dict):
        raise invalid(where, "give an object with role and content")
    message = {name: each for name, each in value.items() if each is not None}
    role = message.get("role")
    if not isinstance(role, str) or role not in _ROLES:
        raise invalid(f"{where}.role", f"use one of {', '.join(_ROLES)}")
    unknown = set(message) - _FIELDS[role]
    if unknown:
        name = min(unknown)
        raise ApiError(
            400,
            f"{where}.{name}: this server knows no such field of a message; leave it out",
            param=f"{where}.{name}",
            code="unknown_parameter",
        )
    check_type(where, message, _adapter(role))
    for name in ("reasoning_content", "reasoning"):
        if not isinstance(message.get(name, ""), str):
            raise invalid(f"{where}.{name}", "give a text")
    if role == "assistant" and not ({"content", "tool_calls", "refusal"} & set(message)):
        raise invalid(f"{where}.content", "give a text, or tool_calls")
    message["content"] = _text(message.get("content", ""), f"{where}.content")
    if "refusal" in message:
        message["content"] = message["content"] or message["refusal"]
        del message["refusal"]
    if "reasoning" in message:
        message.setdefault("reasoning_content", message.pop("reasoning"))
    if role == "developer":
        message["role"] = "system"  # the newer word for it, which templates do not know
    if "tool_calls" in message:
        calls = enumerate(message["tool_calls"])
        message["tool_calls"] = [_call(each, f"{where}.tool_calls[{i}]") for i, each in calls]
    return message


def _text(content: Any, where: str) -> str:
    """Text parts joined; anything else is refused, since the model reads text only."""
    if isinstance(content, str):
        return content
    for index, part in enumerate(content):
        if part.get("type") not in ("text", "refusal"):
            raise invalid(f"{where}[{index}]", f"{part.get('type')} parts cannot be read here")
    return "\n".join(part.get("text") or part.get("refusal") or "" for part in content)


def _call(call: Any, where: str) -> dict[str, Any]:
    """A past call; templates write the arguments themselves, so they get the object."""
    if call.get("type") != "function":
        raise invalid(f"{where}.type", "only calls of functions are known here")
    function = dict(call["function"])
    try:
        arguments = json_of(function["arguments"] or "{}")
    except ValueError:
        raise invalid(f"{where}.function.arguments", "give JSON") from None
    if not isinstance(arguments, dict):
        raise invalid(f"{where}.function.arguments", "give a JSON object")
    return {**call, "function": {**function, "arguments": arguments}}


def _tools(fields: Fields) -> tuple[Any, ...]:
    tools, choice = fields.take("tools"), fields.take("tool_choice")
    for index, tool in enumerate(tools or ()):
        if tool.get("type") != "function":
            raise invalid(f"tools[{index}].type", "only functions are known here")
    if choice not in (None, "none", "auto"):
        raise ApiError(
            400,
            "tool_choice: a call cannot be forced here; use auto or none",
            param="tool_choice",
            code="unsupported_parameter",
        )
    if choice is not None and not tools:
        raise invalid("tool_choice", "there are no tools to choose from")
    return () if choice == "none" else tuple(tools or ())


@cache
def _adapter(role: str) -> TypeAdapter[Any]:
    return TypeAdapter(_ROLES[role])
