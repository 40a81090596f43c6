"""A guarded model in lm-evaluation-harness: `lm_eval.simple_evaluate(model=GuardedLM(...))`.

Importing this module registers it, so `--model rerail` works where the harness imports it.
Generative tasks only; a task that scores choices by likelihood is refused in a sentence.
"""

from collections.abc import Sequence
from typing import Any, NoReturn

from .harness import GuardedResponder, until

try:
    from lm_eval.api.model import LM  # pyright: ignore[reportMissingImports]
    from lm_eval.api.registry import register_model  # pyright: ignore[reportMissingImports]
except ImportError as error:  # pragma: no cover - needs an environment without the extra
    raise ImportError("this needs lm-evaluation-harness: pip install lm-eval") from error


@register_model("rerail")
class GuardedLM(LM):
    """Answers each request as one user turn under the guard."""

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

    def generate_until(self, requests: Sequence[Any], disable_tqdm: bool = False) -> list[str]:
        """Answers without the reasoning, cut at the stop strings."""
        answers: list[str] = []
        for start in range(0, len(requests), self._batch_size):
            batch = requests[start : start + self._batch_size]
            options = [dict(each.args[1]) for each in batch]
            sampling = _sampling(options[0])
            written = self.responder.answer(
                [[{"role": "user", "content": each.args[0]}] for each in batch], **sampling
            )
            answers += [
                until(each.answer, _stops(own)) for each, own in zip(written, options, strict=True)
            ]
        return answers

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


def _stops(options: dict[str, Any]) -> list[str]:
    stops = options.get("until") or []
    return [stops] if isinstance(stops, str) else list(stops)


def _sampling(options: dict[str, Any]) -> dict[str, Any]:
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
