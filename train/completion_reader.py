"""Generated ids as steps of text, and the ids that an intervention in them makes.

The same parts as in the live guard (segmenter, branch, vocabulary), so a rollout is cut and goes on
exactly where the guard would have cut it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

from ..guard.branch import Branch
from ..guard.channels import Channel
from ..guard.chat_template import ChatTemplate
from ..guard.detector import Message
from ..guard.detokenizer import Vocabulary
from ..guard.reasoning_format import ReasoningFormat
from ..guard.segmenter import Segmenter
from ..guard.steps import Piece, Step
from ..guard.tokens import Author
from .generation import seed_of
from .prompts import PromptRecord


@dataclass(frozen=True, slots=True)
class AskedPrompt:
    """A prompt as the model reads it."""

    record: PromptRecord
    text: str
    ids: tuple[int, ...]

    def seed(self, *parts: object) -> int:
        """A seed that belongs to this prompt, whatever else is asked."""
        return seed_of(self.record.id, *parts)


class CompletionReader:
    """Renders prompts for one tokenizer, and reads what its model writes after them."""

    def __init__(
        self,
        tokenizer: Any,
        end_ids: frozenset[int] = frozenset(),
        *,
        reasoning_format: ReasoningFormat | None = None,
        max_step_chars: int = 400,
    ) -> None:
        """`reasoning_format` is by default the one that the vocabulary has tokens for.

        Raises ValueError for a tokenizer that is not of the tokenizers library.
        """
        if getattr(tokenizer, "backend_tokenizer", None) is None:
            raise ValueError(
                f"{type(tokenizer).__name__} is not of the tokenizers library: load the tokenizer "
                "with AutoTokenizer, or convert it to a tokenizer.json"
            )
        marks = {tokenizer.eos_token_id, tokenizer.pad_token_id, tokenizer.bos_token_id}
        silent = end_ids | {each for each in marks if each is not None}
        self.tokenizer = tokenizer
        self.vocabulary = Vocabulary(tokenizer.backend_tokenizer, silent)
        self.reasoning_format = reasoning_format or ReasoningFormat.detect(tokenizer.get_vocab())
        self.max_step_chars = max_step_chars
        self._template = ChatTemplate(tokenizer)

    def ask(self, record: PromptRecord) -> AskedPrompt:
        """The prompt as text and ids. Raises ValueError without a chat template."""
        return AskedPrompt(record, *self.render(record.messages, record.tools))

    def render(
        self, messages: Sequence[Message], tools: Sequence[Any] = ()
    ) -> tuple[str, tuple[int, ...]]:
        """A conversation as text and ids. Raises ValueError without a chat template."""
        text = self._template.render(messages, tools=list(tools) or None)
        return text, self.encode(text)

    def encode(self, text: str) -> tuple[int, ...]:
        """The ids of a text that stands by itself."""
        return tuple(self.tokenizer(text, add_special_tokens=False)["input_ids"])

    def no_reasoning(self, prompt_text: str) -> str:
        """What to put after a prompt to have the answer at once."""
        reasoning_format = self.reasoning_format
        if not reasoning_format.open_reasoning:
            return ""
        opening = "" if reasoning_format.is_open(prompt_text) else reasoning_format.open_reasoning
        return f"{opening}\n{reasoning_format.close_reasoning}"

    def read(self, prompt: AskedPrompt, ids: Sequence[int] = ()) -> "Reading":
        """What has been written so far; more can be fed to it."""
        reading = Reading(self, prompt)
        reading.feed(ids)
        return reading


class Reading:
    """One generation under way: its ids, its steps, and where it can be cut."""

    def __init__(self, reader: CompletionReader, prompt: AskedPrompt) -> None:
        self.prompt = prompt
        self.steps: list[Step] = []
        """Complete ones."""
        self.injected: set[int] = set()
        """Indices of the steps that an intervention put in."""
        self._reader = reader
        self._stream = reader.vocabulary.stream(prompt.ids)
        self._branch = Branch()
        self._texts: dict[Channel, str] = dict.fromkeys(Channel, "")
        self._outside = ""
        self._markup = ""
        self._last_channel: Channel | None = None
        reasoning_format = reader.reasoning_format
        self._segmenter = Segmenter(
            reasoning_format,
            reasoning_open=reasoning_format.is_open(prompt.text),
            max_step_chars=reader.max_step_chars,
        )

    @property
    def ids(self) -> tuple[int, ...]:
        """After the prompt, injected ones too."""
        return self._branch.tokens.known_ids()

    @property
    def text(self) -> str:
        """After the prompt, with markup."""
        return self._branch.tokens.text

    def text_from(self, position: int) -> str:
        """The text of the ids from `position` on."""
        return "".join(self._branch.tokens.texts[position:])

    @property
    def answer(self) -> str:
        """What is outside the chain of thought, tool calls with their tags."""
        closing = self._markup if self._last_channel is Channel.TOOL_CALL else ""
        return self._outside + closing

    @property
    def num_injected(self) -> int:
        """Tokens that interventions put in."""
        return self._branch.tokens.authors.count(Author.INJECTED)

    def __len__(self) -> int:
        return len(self._branch)

    @property
    def reasoning_ended(self) -> bool:
        """Whether the model has gone over to its answer."""
        return self._segmenter.channel is not Channel.REASONING

    def text_of(self, channel: Channel) -> str:
        """The text of a channel as far as it is settled, without markup."""
        return self._texts[channel]

    @property
    def judged_steps(self) -> list[Step]:
        """The complete steps of the chain of thought; of a model without one, of its answer."""
        if self._reader.reasoning_format.open_reasoning:
            return [step for step in self.steps if step.channel is Channel.REASONING]
        return list(self.steps)

    def feed(self, ids: Sequence[int]) -> None:
        """Sampled ids."""
        pieces: list[Piece] = []
        for token_id in ids:
            token = self._stream.token(token_id)
            self._branch.append(token, Author.SAMPLED)
            if token.text:
                pieces.extend(self._segmenter.read(token.text))
        self._settle(pieces)

    def end(self) -> None:
        """The generation has ended: what is open is complete."""
        self._settle(self._segmenter.end())

    def tokens_through(self, step: Step) -> int:
        """How many tokens have come when the step is whole."""
        return self._branch.num_tokens_between(0, step.end)

    def cut(self, step: Step) -> tuple[int, str]:
        """How many tokens stay if `step` is taken out, and the text to put back in front of what
        takes its place (the beginning of a token that the step's start lies in)."""
        return self._branch.boundary(step.start)

    def emptied(self) -> Self:
        """A new reading of the same prompt in which nothing has been written."""
        return type(self)(self._reader, self.prompt)

    def intervened(self, step: Step, trigger: str) -> Self:
        """A new reading in which `trigger` stands in the place of `step` and all after it.

        Its first ids are this one's, unchanged, up to `cut(step)`.
        """
        keep, head = self.cut(step)
        new = self.emptied()
        tokens, authors = self._branch.tokens, self._branch.tokens.authors
        for token_id, author in zip(tokens.known_ids()[:keep], authors[:keep], strict=True):
            new._branch.append(new._stream.token(token_id), author)
        kept = new._branch.tokens.text
        segmenter = new._segmenter
        new._settle([*segmenter.read(kept + head), *segmenter.close_step()])
        new.injected = {index for index in self.injected if index < len(new.steps)}
        written = segmenter.lead_in(step.channel) + trigger
        before = self.prompt.ids + tokens.known_ids()[:keep]
        for token in self._reader.vocabulary.encode(head + written, before):
            assert token.id is not None
            new._branch.append(new._stream.token(token.id), Author.INJECTED)
        num_steps = len(new.steps)
        text = new._branch.tokens.text[len(kept) + len(head) :]  # as the vocabulary can write it
        new._settle([*segmenter.read(text), *segmenter.close_step()])
        new.injected |= set(range(num_steps, len(new.steps)))
        return new

    def _settle(self, pieces: Sequence[Piece]) -> None:
        for piece in pieces:
            if piece.channel is None:
                self._markup = piece.text
            else:
                self._texts[piece.channel] += piece.text
                self._place(piece.text, piece.channel)
            if piece.step is not None:
                self.steps.append(piece.step)

    def _place(self, text: str, channel: Channel) -> None:
        """Text of a channel, with the tags around it if it belongs to a tool call."""
        if channel is not Channel.REASONING:
            if Channel.TOOL_CALL in (channel, self._last_channel):
                self._outside += self._markup
            self._outside += text
        self._markup = ""
        self._last_channel = channel
