"""A guarded model in inspect_ai: `get_model("rerail/sandbox", detector="student")`.

Importing this module registers the provider; the reasoning comes back as inspect's own content of
that kind, so scorers see answer and reasoning apart.
"""

# inspect_ai is not installed where this is checked: its types are unknown there.
# pyright: reportUnknownParameterType=false

import asyncio
from typing import Any

from .harness import GuardedResponder, until

try:
    from inspect_ai.model import (  # pyright: ignore[reportMissingImports]
        ChatCompletionChoice,
        ChatMessage,
        ChatMessageAssistant,
        ContentReasoning,
        ContentText,
        GenerateConfig,
        ModelAPI,
        ModelOutput,
        ModelUsage,
        modelapi,
    )
except ImportError as error:  # pragma: no cover - needs an environment without the extra
    raise ImportError("this needs inspect_ai: pip install inspect_ai") from error


class GuardedAPI(ModelAPI):
    """One guarded model; generations wait for each other."""

    def __init__(
        self,
        model_name: str,
        base_url: str | None = None,
        api_key: str | None = None,
        config: GenerateConfig = GenerateConfig(),  # noqa: B008  (inspect's own signature)
        responder: GuardedResponder | None = None,
        **model_args: Any,
    ) -> None:
        """`model_args` as `GuardedResponder.from_pretrained` takes them."""
        super().__init__(model_name, base_url, api_key, [], config)
        name = model_name.removeprefix("rerail/")
        self.responder = responder or GuardedResponder.from_pretrained(name, **model_args)
        self._one_at_a_time = asyncio.Lock()

    async def generate(
        self, input: list[ChatMessage], tools: Any, tool_choice: Any, config: GenerateConfig
    ) -> ModelOutput:
        """Answers under the guard. Raises ValueError with tools, which inspect would have to run
        in a loop of its own."""
        if tools:
            raise ValueError(
                "tools are not offered through inspect_ai: serve the model with `rerail serve` "
                "and use inspect's OpenAI-compatible provider"
            )
        sampling: dict[str, Any] = {}
        for name, value in (
            ("temperature", config.temperature),
            ("top_p", config.top_p),
            ("top_k", config.top_k),
            ("max_new_tokens", config.max_tokens),
        ):
            if value is not None:
                sampling[name] = value
        messages = [{"role": each.role, "content": each.text} for each in input]
        async with self._one_at_a_time:
            (written,) = await asyncio.to_thread(
                lambda: self.responder.answer([messages], seed=config.seed or 0, **sampling)
            )
        answer = until(written.answer, config.stop_seqs or [])
        content = [ContentReasoning(reasoning=written.reasoning), ContentText(text=answer)]
        ended = {"stop": "stop", "length": "max_tokens"}.get(
            written.finish_reason, "content_filter"
        )
        choice = ChatCompletionChoice(
            message=ChatMessageAssistant(content=content, model=self.model_name, source="generate"),
            stop_reason=ended,  # type: ignore[arg-type]
        )
        usage = ModelUsage(output_tokens=written.num_tokens, total_tokens=written.num_tokens)
        return ModelOutput(model=self.model_name, choices=[choice], usage=usage)


@modelapi(name="rerail")
def rerail() -> type[ModelAPI]:
    """The provider `rerail/MODEL`."""
    return GuardedAPI
