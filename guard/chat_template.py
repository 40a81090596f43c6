"""Chat templates both ways: conversations to prompts, and prompts back to conversations.

`generate` is handed ids, but a detector reads a conversation. A prompt that the tokenizer's own
template wrote around one user turn is taken apart exactly, with a marker rendered in the turn's
place; a longer one is split at the template's role headers, as far as it has some. What is left is
one user turn, so no text of a prompt goes by unread.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from .detector import Message
from .shared_start import num_shared

_MARKS = ("rerail0turn", "rerail1turn", "rerail2turn", "rerail3turn")
_THINK = re.compile(r"\A\s*<think>\s*(?:</think>\s*)?\Z")


@dataclass(frozen=True, slots=True)
class _Headers:
    """What stands right before the content of a turn."""

    user: str
    assistant: str


class ChatTemplate:
    """The chat template of one tokenizer (a Hugging Face one)."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer

    def render(
        self,
        messages: Sequence[Message],
        *,
        tools: Sequence[Any] | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> str:
        """The prompt for the next turn of the assistant; `options` go to the template.

        Raises ValueError where there is nothing to render, or no template to render it with.
        """
        if not messages:
            raise ValueError("there are no messages: give at least one user turn")
        if not getattr(self._tokenizer, "chat_template", None):
            raise ValueError(
                "the tokenizer has no chat template: set tokenizer.chat_template, or call "
                "generate() with a prompt of your own"
            )
        arguments: dict[str, Any] = {"add_generation_prompt": True, **(options or {})}
        if tools:
            arguments["tools"] = list(tools)
        return self._tokenizer.apply_chat_template(
            [dict(message) for message in messages], tokenize=False, **arguments
        )

    def messages_of(self, prompt: str) -> tuple[Message, ...]:
        """The conversation that `prompt` was rendered from, as well as it can be told."""
        for before, after in self._around_one_turn:
            if len(prompt) > len(before) + len(after) and prompt.startswith(before):
                content = prompt[len(before) :]
                if after and not content.endswith(after):
                    continue
                content = content[: len(content) - len(after)]
                if not any(header in content for header in self._role_headers):
                    return ({"role": "user", "content": content},)
        turns = self._split(prompt)
        if any(role == "user" for role, _ in turns):
            return tuple({"role": role, "content": content} for role, content in turns)
        return ({"role": "user", "content": self._plain(prompt)},)

    @cached_property
    def _around_one_turn(self) -> list[tuple[str, str]]:
        """What the template writes before and after a lone user turn, longest first."""
        found: set[tuple[str, str]] = set()
        options: list[dict[str, Any]] = [
            {"add_generation_prompt": True},
            {"add_generation_prompt": True, "enable_thinking": False},
            {"add_generation_prompt": True, "enable_thinking": True},
            {"add_generation_prompt": False},
        ]
        for each in options:
            text = self._try([("user", _MARKS[0])], **each)
            before, mark, after = text.partition(_MARKS[0])
            if mark and (before or after):
                found.add((before, after))
        opening = "<think>\n"
        found |= {(before, after + opening) for before, after in found}  # opened by the caller
        return sorted(found, key=lambda each: -len(each[1]))

    @cached_property
    def _headers(self) -> _Headers | None:
        roles = [("user", _MARKS[0]), ("assistant", _MARKS[1]), ("user", _MARKS[2])]
        plain = self._try(roles, add_generation_prompt=False)
        asking = self._try(roles, add_generation_prompt=True)
        parts = re.split("|".join(_MARKS), plain)
        if len(parts) != 4 or not asking.startswith(plain[: plain.rfind(_MARKS[2])]):
            return None
        first, to_assistant, to_user = (self._unmarked(part) for part in parts[:3])
        num_last = num_shared(first[::-1], to_user[::-1])
        user = first[len(first) - num_last :].lstrip()
        generation = asking[num_shared(plain, asking) :]
        assistant = generation
        while assistant and assistant not in to_assistant:
            assistant = assistant[:-1]
        assistant = assistant.strip()
        if not user.strip() or not assistant:
            return None
        return _Headers(user, assistant)

    @property
    def _role_headers(self) -> tuple[str, ...]:
        headers = self._headers
        return (headers.user, headers.assistant) if headers is not None else ()

    def _split(self, prompt: str) -> list[tuple[str, str]]:
        headers = self._headers
        if headers is None:
            return []
        pattern = f"({re.escape(headers.user)})|({re.escape(headers.assistant)})"
        starts = list(re.finditer(pattern, prompt))
        if not starts:
            return []
        turns = [("system", prompt[: starts[0].start()].replace(self._system_header, ""))]
        ends = [start.start() for start in starts[1:]] + [len(prompt)]
        for start, end in zip(starts, ends, strict=True):
            role = "user" if start[1] is not None else "assistant"
            turns.append((role, prompt[start.end() : end]))
        if turns[-1][0] == "assistant" and _THINK.match(turns[-1][1]):
            turns.pop()
        plain = [(role, self._plain(content)) for role, content in turns]
        return [(role, content) for role, content in plain if content]

    @cached_property
    def _system_header(self) -> str:
        roles = [("system", _MARKS[0]), ("user", _MARKS[1])]
        header = self._try(roles, add_generation_prompt=False).partition(_MARKS[0])[0]
        return self._unmarked(header).strip()

    def _plain(self, text: str) -> str:
        """Without special tokens and the blanks around it."""
        added = self._tokenizer.added_tokens_decoder.values()
        special = {token.content for token in added if token.special}
        return _without(special, self._unmarked(text)).strip()

    def _unmarked(self, text: str) -> str:
        """Without the marks of where a sequence begins and ends."""
        return _without(self._tokenizer.all_special_tokens, text)

    def _try(self, turns: Sequence[tuple[str, str]], **options: Any) -> str:
        """Renders a probe; templates may refuse one (by any exception), which gives ""."""
        messages = [{"role": role, "content": content} for role, content in turns]
        if not getattr(self._tokenizer, "chat_template", None):
            return ""
        try:
            return self._tokenizer.apply_chat_template(messages, tokenize=False, **options)
        except Exception:
            return ""


def _without(tokens: Iterable[str], text: str) -> str:
    longest_first = sorted(filter(None, tokens), key=len, reverse=True)
    return re.sub("|".join(map(re.escape, longest_first)), "", text) if longest_first else text
