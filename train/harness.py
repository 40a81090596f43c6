"""A guarded model as evaluation harnesses want one: text in, text out, a batch at a time.

What both adapters share lives here; `harness_lm_eval` and `harness_inspect` only speak the two
packages' protocols. Log-likelihoods are not offered: a guard watches what a model writes, and a
multiple-choice score without writing would be that of the unguarded model under a guarded name.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..guard.config import GuardConfig
from ..guard.detector import Detector
from ..guard.detector_loading import load_detector
from ..guard.guard import Guard
from .evaluation_subject import Subject, Written
from .generation import Sampling
from .prompts import PromptRecord
from .sandbox.kinds import Kind


class GuardedResponder:
    """Answers conversations under the guard; `detector=None` guards nothing."""

    def __init__(
        self,
        subject: Subject,
        detector: Detector | None,
        config: GuardConfig | None = None,
        *,
        sampling: Sampling | None = None,
    ) -> None:
        self.subject = subject
        self._detector = detector
        self._config = config or GuardConfig()
        self.sampling = sampling or Sampling()
        self._num_answered = 0

    @classmethod
    def from_pretrained(
        cls,
        model: str = "sandbox",
        *,
        detector: str | None = "student",
        adapter: str | None = None,
        **settings: Any,
    ) -> "GuardedResponder":
        """By name or folder; `detector` is `student`, `keywords`, a student's folder, or None.

        `settings` are fields of `GuardConfig` and of `Sampling`. Raises ValueError for others.
        """
        from ..guard.backend_transformers_identity import model_identity
        from .preference_models import resolved
        from .weights import Weights

        names = set(Sampling.__dataclass_fields__)
        drawn = {name: settings.pop(name) for name in names & set(settings)}
        unknown = set(settings) - set(GuardConfig.__dataclass_fields__)
        if unknown:
            raise ValueError(f"there is no setting {sorted(unknown)[0]!r} of guard or sampling")
        weights = Weights(model, None if adapter is None else Path(adapter))
        loaded, tokenizer = weights.load()
        subject = Subject.from_model(model_identity(loaded), loaded, tokenizer)
        return cls(
            subject,
            None if detector is None else load_detector(detector, resolved(model)),
            GuardConfig(**settings),
            sampling=Sampling(**drawn),
        )

    def answer(
        self,
        conversations: Sequence[Sequence[Mapping[str, Any]]],
        *,
        seed: int = 0,
        **sampling: Any,
    ) -> list[Written]:
        """One answer for each conversation; `sampling` replaces fields of the own."""
        records = [
            PromptRecord(
                f"{self._num_answered + number}",
                tuple({"role": str(m["role"]), "content": str(m["content"])} for m in messages),
                Kind.HARMLESS,  # nobody knows; nothing here depends on it
            )
            for number, messages in enumerate(conversations)
        ]
        self._num_answered += len(records)
        guard = None if self._detector is None else Guard(self._detector, self._config)
        written = self.subject.write(
            records, replace(self.sampling, **sampling), seed=seed, guard=guard
        )
        return [Written.from_trace(each.trace) for each in written]


def until(text: str, stops: Sequence[str]) -> str:
    """The text up to the first of the stop strings."""
    ends = [found for stop in stops if stop and (found := text.find(stop)) >= 0]
    return text[: min(ends)] if ends else text
