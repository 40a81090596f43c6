"""Prompts for a vLLM engine: out of conversations, texts, or ids that the caller has made."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from .chat_template import ChatTemplate
from .detector import Message
from .prompt import Prompt

PromptLike = Prompt | str | Sequence[int] | Sequence[Message]
"""A whole prompt as text or as ids, control tokens and all, or a conversation to be rendered."""


class VllmPrompts:
    """Makes the prompts of one engine."""

    def __init__(self, tokenizer: Any, *, model_name: str, max_positions: int) -> None:
        self._tokenizer = tokenizer
        self._template = ChatTemplate(tokenizer)
        self._model_name = model_name
        self._max_positions = max_positions

    def of(self, given: PromptLike, sampling: Mapping[str, Any], topic: str | None) -> Prompt:
        """Raises ValueError for a prompt that is empty, or that leaves no room to answer."""
        if isinstance(given, Prompt):
            prompt = given
        elif isinstance(given, str):
            prompt = self._of_text(given, self._ids(given))
        elif given and isinstance(given[0], Mapping):
            prompt = self.chat(given)  # type: ignore[arg-type]
        else:
            ids = tuple(given)
            if not all(isinstance(each, int) and 0 <= each < len(self._tokenizer) for each in ids):
                raise ValueError("the prompt holds something that is no id of this model's tokens")
            text = self._tokenizer.decode(
                list(ids), skip_special_tokens=False, clean_up_tokenization_spaces=False
            )
            prompt = self._of_text(text, ids)  # type: ignore[arg-type]
        if len(prompt.ids) >= self._max_positions:
            raise ValueError(
                f"the prompt has {len(prompt.ids)} tokens and the model's context "
                f"{self._max_positions}: shorten it"
            )
        lora = sampling.get("lora_request")
        noted = {name: value for name, value in sampling.items() if name != "lora_request"}
        if lora is not None:
            noted["lora"] = lora.lora_name
        return replace(
            prompt,
            model=self._model_name if lora is None else f"{self._model_name}+{lora.lora_name}",
            sampling=noted,
            seed=sampling.get("seed", prompt.seed),
            topic=topic or prompt.topic,
        )

    def chat(
        self,
        messages: Sequence[Message],
        *,
        tools: Sequence[Any] | None = None,
        template_options: Mapping[str, Any] | None = None,
    ) -> Prompt:
        """The prompt for the assistant's next turn. Raises ValueError without messages, or where
        the tokenizer has no chat template."""
        text = self._template.render(messages, tools=tools, options=template_options)
        return Prompt(messages=tuple(messages), text=text, ids=self._ids(text))

    def _of_text(self, text: str, ids: tuple[int, ...]) -> Prompt:
        if not text.strip():
            raise ValueError("the prompt is empty: give the model something to answer")
        return Prompt(messages=self._template.messages_of(text), text=text, ids=ids)

    def _ids(self, text: str) -> tuple[int, ...]:
        return tuple(self._tokenizer(text, add_special_tokens=False)["input_ids"])
