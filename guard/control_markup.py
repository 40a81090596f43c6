"""Control strings in foreign text where no tokenizer is at hand to say which there are.

So everything that looks like one of the known families' is broken up, with a blank, which every
vocabulary can write and no normaliser takes away: ChatML and Llama 3 (`<|...|>`), DeepSeek
(`<｜...｜>`), Gemma (`<start_of_turn>`), Mistral (`[INST]`), Llama 2 (`<<SYS>>`, `<s>`), think and
tool tags. With the tokenizer's own list (`ControlText`) ordinary text is left alone more often.
"""

import re

from .control_text import ForeignText
from .reasoning_format import ReasoningFormat

_WORDS = (
    "think", "thinking", "thought", "answer", "tool", "tools", "tool_call", "tool_calls",
    "tool_response", "tool_responses", "tool_result", "function_call", "s", "bos", "eos", "pad",
    "unk", "mask", "sep", "cls", "start_of_turn", "end_of_turn", "start_of_image", "end_of_image",
    "start_of_audio", "end_of_audio", "image_soft_token", "start_function_call",
    "end_function_call", "im_start", "im_end", "system", "user", "assistant", "human", "bot",
    "turn", "channel", "seed:bos", "seed:eos", "seed:think",
)  # fmt: skip
_BRACKETED = (
    "INST", "SYS", "SYSTEM_PROMPT", "AVAILABLE_TOOLS", "TOOL_CALLS", "TOOL_RESULTS",
    "TOOL_CONTENT", "TOOL_CALL", "TOOL_RESULT", "THINK", "ARGS", "CALL_ID", "PREFIX", "MIDDLE",
    "SUFFIX", "IMG", "IMG_BREAK", "IMG_END", "BOS", "EOS", "PAD", "UNK", "CLS", "SEP", "MASK",
    "gMASK", "sMASK", "BEGIN_OF_TEXT",
)  # fmt: skip
_PATTERNS = (
    r"<\|[^<>|\n]{1,64}\|>",
    r"<｜[^<>｜\n]{1,64}｜>",
    r"<\|[^<>|\n]{1,64}>|<[^<>|\n]{1,64}\|>",
    rf"</?(?:{'|'.join(map(re.escape, _WORDS))})/?>",
    r"<(?:unused|reserved|extra_id|special|SPECIAL|dummy|placeholder)[\w-]{0,32}>",
    rf"\[/?(?:{'|'.join(_BRACKETED)})\]",
    r"<</?SYS>>",
)


class ControlMarkup(ForeignText):
    """What looks like control strings, and the tags of one reasoning format."""

    def __init__(self, reasoning_format: ReasoningFormat) -> None:
        tags = {tag.text for tag in reasoning_format.tags} | set(reasoning_format.header_tags)
        own = [re.escape(tag) for tag in sorted(tags, key=len, reverse=True)]
        self._pattern = re.compile("|".join((*own, *_PATTERNS)))
        self._kept = frozenset({reasoning_format.open_reasoning.strip(), "</think>"} - {""})

    def neutralised(self, text: str, *, keep_think_tags: bool = False) -> str:
        """`text` with a blank in every control string, so that no tokenizer reads it as one;
        `keep_think_tags` leaves the tags of the chain of thought as they are."""
        kept = self._kept if keep_think_tags else frozenset()

        def broken(found: re.Match[str]) -> str:
            tag = found[0]
            return tag if tag in kept else f"{tag[0]} {tag[1:]}"

        while (safe := self._pattern.sub(broken, text)) != text:
            text = safe  # breaking one up may leave another one whole
        return text
