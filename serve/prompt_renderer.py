"""Prompts out of requests, with a tokenizer at hand: control strings in foreign text broken up,
the chat template applied, ids beside text.

Works with a tokenizer of transformers and with one read from a folder (`FolderTokenizer`). All of
it computes; engines call it in a thread, so that long texts hold nothing up.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from jinja2 import meta
from jinja2.sandbox import SandboxedEnvironment

from ..guard import Message, Prompt, ReasoningFormat
from ..guard.chat_template import ChatTemplate
from ..guard.control_text import ControlText

_NOT_FOR_CALLERS = frozenset(
    {"messages", "tools", "documents", "add_generation_prompt", "continue_final_message"}
)


class PromptRenderer:
    """The prompts of one model."""

    def __init__(self, tokenizer: Any, reasoning_format: ReasoningFormat, model_name: str) -> None:
        """`model_name` is what traces call the model."""
        self.template_options = _template_options(tokenizer)
        self._tokenizer = tokenizer
        self._model_name = model_name
        self._template = ChatTemplate(tokenizer)
        self._control = ControlText(tokenizer, reasoning_format)

    def rendered(
        self,
        messages: Sequence[Message],
        tools: Sequence[Any],
        template_options: Mapping[str, Any],
    ) -> Prompt:
        """The prompt for the assistant's next turn. Raises `ValueError` for a conversation that the
        template does not take."""
        turns, safe_tools = self._control.in_messages(messages), self._control.in_tools(tools)
        options = {
            name: self._control.neutralised(value) if isinstance(value, str) else value
            for name, value in template_options.items()
        }
        try:
            text = self._template.render(turns, tools=safe_tools, options=options)
        except (ValueError, ImportError):
            raise
        except Exception as error:  # a template refuses in whatever way it likes
            reason = str(error).strip().split("\n", 1)[0][:200]
            raise ValueError(
                f"the model's chat template does not take this conversation: {reason}"
            ) from error
        return Prompt(
            messages=tuple(messages), text=text, ids=self.ids(text), model=self._model_name
        )

    def completed(self, prompt: str | Sequence[int]) -> Prompt:
        """A prompt that the caller wrote whole. Raises `ValueError` for an empty one, or an id that
        the vocabulary lacks."""
        if isinstance(prompt, str):
            text, ids = prompt, self.ids(prompt)
        else:
            ids = tuple(prompt)
            if any(not 0 <= each < len(self._tokenizer) for each in ids):
                raise ValueError("the prompt holds an id that this model's vocabulary lacks")
            text = self._tokenizer.decode(
                list(ids), skip_special_tokens=False, clean_up_tokenization_spaces=False
            )
        if not text.strip():
            raise ValueError("the prompt is empty: give the model something to answer")
        messages = self._template.messages_of(text)
        return Prompt(messages=messages, text=text, ids=ids, model=self._model_name)

    def ids(self, text: str) -> tuple[int, ...]:
        """The ids of a text as it stands, without those that a tokenizer puts around one."""
        return tuple(self._tokenizer(text, add_special_tokens=False)["input_ids"])


def _template_options(tokenizer: Any) -> frozenset[str]:
    """The variables that the chat template reads and that are the caller's business."""
    template = getattr(tokenizer, "chat_template", None)
    if not isinstance(template, str):
        return frozenset()
    try:
        names = meta.find_undeclared_variables(SandboxedEnvironment().parse(template))
    except Exception:  # a template of an extended syntax: it gets no options
        return frozenset()
    special = set(getattr(tokenizer, "special_tokens_map", {}))
    return frozenset(names - _NOT_FOR_CALLERS - special - {"raise_exception", "strftime_now"})
