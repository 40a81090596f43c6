"""A generator whose model begins given prompts with given words: a model taught to think so.

To everyone else those words are the model's own. After a rollback the ids are no longer those of
the prompt alone, and the model goes on by itself.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from .generation import Completion, Generator, Job, Sampling, Watch


class OpenedGenerator:
    """Wraps a generator; `openings` are ids by the prompt's ids."""

    def __init__(
        self, generator: Generator, openings: Mapping[tuple[int, ...], tuple[int, ...]]
    ) -> None:
        self._generator = generator
        self._openings = openings

    def generate(
        self, jobs: Sequence[Job], sampling: Sampling, watch: Watch | None = None
    ) -> list[Completion]:
        """As any generator: the opening counts as generated."""
        heads = [self._openings.get(job.ids, ()) for job in jobs]
        changed = []
        for job, head in zip(jobs, heads, strict=True):
            budget = job.max_new_tokens or sampling.max_new_tokens
            left = max(1, budget - len(head))
            changed.append(replace(job, ids=job.ids + head, max_new_tokens=left))
        inner = None if watch is None else _Shifted(watch, heads)
        done = self._generator.generate(changed, sampling, inner)
        return [replace(each, ids=head + each.ids) for head, each in zip(heads, done, strict=True)]


class _Shifted:
    """Shows a watch the openings before what was generated."""

    def __init__(self, watch: Watch, heads: Sequence[tuple[int, ...]]) -> None:
        self.every = watch.every
        self._watch = watch
        self._heads = heads

    def ended(self, written: Mapping[int, Sequence[int]]) -> Sequence[int]:
        whole = {number: (*self._heads[number], *ids) for number, ids in written.items()}
        return list(self._watch.ended(whole))
