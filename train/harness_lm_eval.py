"""A guarded model in lm-evaluation-harness: `lm_eval.simple_evaluate(model=GuardedLM(...))`.

Importing this module registers it, so `--model rerail` works where the harness imports it.
Generative tasks only; a task that scores choices by likelihood is refused in a sentence.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

from .harness import GuardedResponder, until

try:
    from lm_eval.api.model import LM  # pyright: ignore[reportMissingImports]
    from lm_eval.api.registry import register_model  # pyright: ignore[reportMissingImports]
except ImportError as error:  # pragma: no cover - needs an environment without the extra
    raise ImportError("this needs lm-evaluation-harness: pip install lm-eval") from error


class Conversation(str):
    """A conversation where the harness has a text: the last turn, which its logs show, and all."""

    messages: tuple[dict[str, str], ...]

    @classmethod
    def of(cls, messages: Sequence[Mapping[str, str]]) -> "Conversation":
        """Raises ValueError where it ends with an answer: the model thinks before it answers."""
        if messages[-1]["role"] == "assistant":
            raise ValueError(
                "this task begins the model's answer for it (gen_prefix), which a model that "
                "thinks first cannot take up: choose a task without"
            )
        made = cls(messages[-1]["content"])
        made.messages = tuple(dict(each) for each in messages)
        return made


@register_model("rerail")
class GuardedLM(LM):
    """Answers each request under the guard: as one user turn, or with `apply_chat_template` as the
    conversation that the harness makes of instructions and examples."""

    def __init__(
        self, responder: GuardedResponder | None = None, batch_size: int | str = 32, **settings: Any
    ) -> None:
        """`settings` as `GuardedResponder.from_pretrained` takes them."""
        super().__init__()
        for name in ("device", "max_batch_size"):  # the harness always passes these
            settings.pop(name, None)
        self.responder = responder or GuardedResponder.from_pretrained(**settings)
        self._batch_size = int(batch_size) if str(batch_size).isdigit() else 32

    @property
    def tokenizer_name(self) -> str:
        """For the harness' cache of rendered requests."""
        return self.responder.subject.name

    def apply_chat_template(
        self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True
    ) -> Conversation:
        """The conversation, which is rendered when it is answered."""
        return Conversation.of(chat_history)

    def generate_until(self, requests: Sequence[Any], disable_tqdm: bool = False) -> list[str]:
        """Answers without the reasoning, cut at the stop strings."""
        alike: dict[tuple[tuple[str, Any], ...], list[int]] = defaultdict(list)
        for number, each in enumerate(requests):
            alike[tuple(_sampling(each.args[1]).items())].append(number)
        answers: dict[int, str] = {}
        for sampling, numbers in alike.items():
            for start in range(0, len(numbers), self._batch_size):
                batch = numbers[start : start + self._batch_size]
                written = self.responder.answer(
                    [_messages(requests[number].args[0]) for number in batch], **dict(sampling)
                )
                for number, each in zip(batch, written, strict=True):
                    asked = requests[number].args
                    answers[number] = until(each.answer, _stops(asked[1]))
                    self.cache_hook.add_partial("generate_until", asked, answers[number])
        return [answers[number] for number in range(len(requests))]

    def loglikelihood(self, requests: Sequence[Any], disable_tqdm: bool = False) -> NoReturn:
        """Refused."""
        raise NotImplementedError(
            "a guarded model is measured on what it writes: choose a generative variant of this "
            "task (output_type generate_until)"
        )

    def loglikelihood_rolling(
        self, requests: Sequence[Any], disable_tqdm: bool = False
    ) -> NoReturn:
        """Refused."""
        self.loglikelihood(requests)


def _messages(context: str) -> Sequence[Mapping[str, str]]:
    if isinstance(context, Conversation):
        return context.messages
    return [{"role": "user", "content": context}]


def _stops(options: Mapping[str, Any]) -> list[str]:
    stops = options.get("until") or []
    return [stops] if isinstance(stops, str) else list(stops)


def _sampling(options: Mapping[str, Any]) -> dict[str, Any]:
    """The harness' generation arguments as ours; greedy where it does not sample."""
    found: dict[str, Any] = {}
    length = options.get("max_gen_toks") or options.get("max_new_tokens")
    if length:
        found["max_new_tokens"] = int(length)
    if options.get("do_sample") is False or options.get("temperature") == 0:
        found["temperature"] = 0.0
    elif options.get("temperature") is not None:
        found["temperature"] = float(options["temperature"])
    return found
