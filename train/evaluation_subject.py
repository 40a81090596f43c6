"""A model under measurement, guarded or not, and what it wrote.

The unguarded arm runs through the same sessions with no detector in them: both arms are cut into
reasoning and answer by the same code, and with the same seed they share every token up to the
first intervention.
"""

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

from ..guard.channels import Channel
from ..guard.chat_template import ChatTemplate
from ..guard.detokenizer import Vocabulary
from ..guard.guard import Guard
from ..guard.judge import judge
from ..guard.prompt import Prompt
from ..guard.reasoning_format import ReasoningFormat
from ..guard.tokens import Token
from ..guard.traces import FinishReason, Trace
from .generation import Generator, Sampling, seed_of
from .guarded_batch import Guarded, GuardedBatch
from .prompts import PromptRecord

_PIECE = re.compile(r"<[^<>\s]{1,20}>|\s|[^\s<]+|.", re.DOTALL)
"""Text in pieces of which each lies in one channel."""


@dataclass(frozen=True, slots=True)
class Stepped:
    """One intervention, as a results file keeps it."""

    channel: str
    step: int
    cue: str
    trigger_id: str | None
    """None for a refusal."""

    trigger_kind: str | None
    probability: float | None
    keep: int
    """Kept tokens before the trigger."""


@dataclass(frozen=True, slots=True)
class Written:
    """What one generation gave."""

    reasoning: str
    answer: str
    """With the arguments of tool calls; without markup."""

    finish_reason: str
    num_tokens: int
    """Kept, injected ones included."""

    sampled_tokens: int
    """All that the model had to sample."""

    wait_tokens: int
    leaked_tokens: int
    interventions: tuple[Stepped, ...] = ()

    @classmethod
    def from_trace(cls, trace: Trace) -> Self:
        """What a results file keeps of a trace."""
        return cls(
            reasoning=trace.reasoning.strip(),
            answer=answer_of(trace),
            finish_reason=trace.finish_reason.value,
            num_tokens=len(trace.tokens),
            sampled_tokens=trace.sampled_tokens,
            wait_tokens=trace.wait_tokens,
            leaked_tokens=trace.leaked_tokens,
            interventions=tuple(
                Stepped(
                    each.channel.value,
                    each.step_index,
                    each.cue,
                    each.trigger_id,
                    each.trigger_kind,
                    None if each.probability is None else round(float(each.probability), 4),
                    each.keep,
                )
                for each in trace.interventions
            ),
        )

    @classmethod
    def from_row(cls, row: dict[str, Any]) -> Self:
        """From a line of a results file."""
        fields: dict[str, Any] = dict(row)
        fields["interventions"] = tuple(Stepped(**each) for each in row["interventions"])
        return cls(**fields)

    def to_row(self) -> dict[str, Any]:
        """A line of a results file."""
        return asdict(self)


def answer_of(trace: Trace) -> str:
    """The kept text after the reasoning: answer and tool calls, without markup."""
    pairs = zip(trace.tokens.texts, trace.tokens.channels, strict=True)
    return "".join(
        text for text, channel in pairs if channel in (Channel.ANSWER, Channel.TOOL_CALL)
    ).strip()


class Subject:
    """One model; renders prompts with its own chat template."""

    def __init__(
        self, name: str, generator: Generator, tokenizer: Any, end_ids: frozenset[int]
    ) -> None:
        self.name = name
        self.generator = generator
        self.tokenizer = tokenizer
        self._end_ids = end_ids
        self.vocabulary = Vocabulary(tokenizer.backend_tokenizer, end_ids)
        self.reasoning_format = ReasoningFormat.detect(tokenizer.get_vocab())
        self._template = ChatTemplate(tokenizer)

    @classmethod
    def from_model(cls, name: str, model: Any, tokenizer: Any, *, batch_size: int = 64) -> Self:
        """A loaded Hugging Face model."""
        from .generation_transformers import TransformersGenerator

        generator = TransformersGenerator(model, tokenizer, batch_size=batch_size)
        return cls(name, generator, tokenizer, generator.end_ids)

    def with_generator(self, generator: Generator) -> "Subject":
        """The same model and tokenizer behind another generator."""
        return Subject(self.name, generator, self.tokenizer, self._end_ids)

    def prompt(self, record: PromptRecord) -> Prompt:
        """The prompt as the model sees it."""
        text = self._template.render(record.messages, tools=record.tools)
        ids = tuple(self.tokenizer(text, add_special_tokens=False)["input_ids"])
        return Prompt(
            messages=record.messages, text=text, ids=ids, model=self.name, topic=record.topic
        )

    def text(self, before: Sequence[int], ids: Sequence[int]) -> str:
        """The text of ids that follow others."""
        reader = self.vocabulary.stream(before)
        return "".join(reader.token(each).text for each in ids)

    def split(self, prompt: str, text: str) -> tuple[str, str]:
        """What was generated after a rendered prompt, as reasoning and answer."""
        opened = Prompt(messages=({"role": "user", "content": ""},), text=prompt)
        session = Guard(None).open(opened, self.reasoning_format)
        session.feed([Token(None, piece) for piece in _PIECE.findall(text)])
        session.end(FinishReason.STOP)
        judge(None, [session])
        assert session.trace is not None
        return session.trace.reasoning.strip(), answer_of(session.trace)

    def write(
        self,
        records: Sequence[PromptRecord],
        sampling: Sampling,
        *,
        seed: int = 0,
        sample: int = 0,
        guard: Guard | None = None,
        whole: bool = False,
    ) -> list[Guarded]:
        """One generation for each prompt; `guard=None` guards nothing.

        Seed and sample number give each prompt its random numbers, whatever else is in the batch.
        """
        batch = GuardedBatch(
            self.generator,
            guard if guard is not None else Guard(None),
            self.vocabulary,
            self.reasoning_format,
        )
        seeds = [seed_of("evaluation", seed, sample, each.id) for each in records]
        return batch.run([self.prompt(each) for each in records], seeds, sampling, whole=whole)
