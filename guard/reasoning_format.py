"""How a model marks its chain of thought, its answer and its tool calls in the generated text.

A format is plain data. `r1` and `qwen3` have the same tags; who writes the opening one (R1's chat
template does, Qwen3 itself does) is asked of the prompt, with `is_open`.
"""

from collections.abc import Container
from dataclasses import dataclass
from enum import Enum


class Effect(Enum):
    """What a control tag does to the channel."""

    OPEN_REASONING = "open_reasoning"
    CLOSE_REASONING = "close_reasoning"
    OPEN_CALL = "open_call"
    CLOSE_CALL = "close_call"
    END_MESSAGE = "end_message"
    """Ends a harmony message; a header or the end of the generation follows."""

    NONE = "none"
    """Markup inside a tool call, or between parts; the channel stays."""


@dataclass(frozen=True, slots=True)
class Tag:
    """One control tag, recognised only as exactly this text."""

    text: str
    """With its brackets."""

    effect: Effect
    """What follows it."""


@dataclass(frozen=True, slots=True)
class ReasoningFormat:
    """The control markup of one family of models."""

    name: str
    """As `named` takes it."""

    tags: tuple[Tag, ...]
    """Recognised in reasoning and answer; inside a tool call think tags are plain text."""

    open_reasoning: str = ""
    """Text that opens the chain of thought; empty where the format has none."""

    open_answer: str = ""
    """Text that goes from the chain of thought to the answer (harmony: its header)."""

    header_tags: tuple[str, ...] = ()
    """Harmony: the tags that a message's header is made of; every message has its own header."""

    header_end: str = ""
    """Harmony: the tag between a header and the message's body."""

    message_start: str = ""
    """Harmony: what stands before the header of the model's own messages."""

    message_end: str = ""
    """Harmony: what ends a message that another one follows."""

    @property
    def close_reasoning(self) -> str:
        """Text that ends the chain of thought and starts the answer."""
        return self.message_end + self.message_start + self.open_answer

    def is_open(self, prompt_text: str) -> bool:
        """Whether the prompt ends just inside a chain of thought that it opened itself."""
        opening = self.open_reasoning.strip()
        return bool(opening) and prompt_text.rstrip().endswith(opening)

    @staticmethod
    def named(name: str) -> "ReasoningFormat":
        """The format of this name in `FORMATS`; raises ValueError for an unknown one."""
        try:
            return FORMATS[name]
        except KeyError:
            known = ", ".join(sorted(FORMATS))
            raise ValueError(f"unknown reasoning format {name!r}: use one of {known}") from None

    @staticmethod
    def chosen(name: str, vocabulary: Container[str]) -> "ReasoningFormat":
        """The format of this name, or for "auto" the one that the vocabulary tells of; raises
        ValueError for an unknown name."""
        return ReasoningFormat.detect(vocabulary) if name == "auto" else ReasoningFormat.named(name)

    @staticmethod
    def detect(vocabulary: Container[str]) -> "ReasoningFormat":
        """The format that a tokenizer's vocabulary (`get_vocab()`) has single tokens for.

        A vocabulary with think tags gives `qwen3`; whether the prompt opens the chain of thought
        is asked of the prompt, with `is_open`.
        """
        if "<|channel|>" in vocabulary and "<|message|>" in vocabulary:
            return FORMATS["harmony"]
        if "<think>" in vocabulary and "</think>" in vocabulary:
            return FORMATS["qwen3"]
        return FORMATS["none"]


_CALL_TAGS = (
    Tag("<tool_call>", Effect.OPEN_CALL),
    Tag("</tool_call>", Effect.CLOSE_CALL),
    Tag("<｜tool▁calls▁begin｜>", Effect.OPEN_CALL),
    Tag("<｜tool▁calls▁end｜>", Effect.CLOSE_CALL),
    Tag("<｜tool▁call▁begin｜>", Effect.NONE),
    Tag("<｜tool▁call▁end｜>", Effect.NONE),
    Tag("<｜tool▁sep｜>", Effect.NONE),
)
_THINK_TAGS = (
    Tag("<think>", Effect.OPEN_REASONING),
    Tag("</think>", Effect.CLOSE_REASONING),
    *_CALL_TAGS,
)
_R1 = ReasoningFormat("r1", _THINK_TAGS, open_reasoning="<think>\n", open_answer="</think>\n\n")
_QWEN3 = ReasoningFormat(
    "qwen3", _THINK_TAGS, open_reasoning="<think>\n", open_answer="</think>\n\n"
)
_HARMONY = ReasoningFormat(
    "harmony",
    (
        Tag("<|end|>", Effect.END_MESSAGE),
        Tag("<|return|>", Effect.END_MESSAGE),
        Tag("<|call|>", Effect.END_MESSAGE),
        Tag("<|message|>", Effect.NONE),
    ),
    open_reasoning="<|channel|>analysis<|message|>",
    open_answer="<|channel|>final<|message|>",
    header_tags=("<|start|>", "<|channel|>", "<|constrain|>"),
    header_end="<|message|>",
    message_start="<|start|>assistant",
    message_end="<|end|>",
)
_NONE = ReasoningFormat("none", _CALL_TAGS)

FORMATS: dict[str, ReasoningFormat] = {
    "r1": _R1,
    "deepseek_r1": _R1,
    "qwen3": _QWEN3,
    "harmony": _HARMONY,
    "openai_gptoss": _HARMONY,
    "none": _NONE,
}
"""Every name that is understood; the longer ones are vLLM's names of its reasoning parsers."""
