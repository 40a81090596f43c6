"""Asking the server under test through the openai package, and putting streams together."""

from typing import Any

import openai

CALL = '{"name": "weather", "arguments": {"city": "Paris"}}'
TOOLS: list[Any] = [
    {
        "type": "function",
        "function": {
            "name": "weather",
            "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
        },
    }
]


def ask(client: openai.OpenAI, text: str, **options: Any) -> Any:
    messages: Any = [{"role": "user", "content": text}]
    return client.chat.completions.create(model="talker", messages=messages, **options)


def streamed(client: openai.OpenAI, text: str, **options: Any) -> dict[int, dict[str, Any]]:
    """The choices of a stream, put together as a client would."""
    choices: dict[int, dict[str, Any]] = {}
    for chunk in ask(client, text, stream=True, **options):
        for choice in chunk.choices:
            whole = choices.setdefault(
                choice.index, {"reasoning_content": "", "content": "", "calls": []}
            )
            whole["reasoning_content"] += getattr(choice.delta, "reasoning_content", None) or ""
            whole["content"] += choice.delta.content or ""
            for call in choice.delta.tool_calls or ():
                whole["calls"].append((call.id, call.function.name, call.function.arguments))
            if choice.finish_reason is not None:
                whole["finish_reason"] = choice.finish_reason
    return choices


def unstreamed(client: openai.OpenAI, text: str, **options: Any) -> dict[int, dict[str, Any]]:
    return {
        choice.index: {
            "reasoning_content": getattr(choice.message, "reasoning_content", ""),
            "content": choice.message.content or "",
            "calls": [
                (call.id, call.function.name, call.function.arguments)
                for call in choice.message.tool_calls or ()
            ],
            "finish_reason": choice.finish_reason,
        }
        for choice in ask(client, text, **options).choices
    }


def test_reasoning_and_content_are_apart(client: openai.OpenAI) -> None:
    answer = ask(client, "hello")
    assert answer.object == "chat.completion" and answer.model == "talker"
    (choice,) = answer.choices
    assert choice.message.content == "The answer is four."
    assert choice.message.reasoning_content == "Let me see. This is easy."
    assert choice.finish_reason == "stop"
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens
    assert answer.usage.completion_tokens_details.reasoning_tokens > 0
    assert not hasattr(answer, "rerail"), "the report is for those who ask"
