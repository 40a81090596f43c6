"""Many generations under the guard at once, over any generator of batches.

The guard's own sessions decide; what is new is only who feeds them. Every generation draws from a
stream of random numbers of its own, so up to the first intervention the guarded text is, token for
token, that of the unguarded arm with the same seed: arms can be compared pair by pair.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ..guard.detokenizer import Detokenizer, Vocabulary
from ..guard.guard import Guard
from ..guard.judge import judge
from ..guard.prompt import Prompt
from ..guard.reasoning_format import ReasoningFormat
from ..guard.session import Session
from ..guard.traces import FinishReason, Trace
from .generation import Completion, Ended, Generator, Job, Sampling

LOOK_EVERY = 16
"""Tokens between two looks of the detector: what is generated beyond a cue is thrown away."""


@dataclass(frozen=True, slots=True)
class Guarded:
    """One guarded generation."""

    trace: Trace
    branches: tuple[str, ...]
    """The whole text after 0, 1, ... interventions, as the model wrote it when left alone from
    there on; empty where generation was ended at the cue."""


@dataclass(slots=True)
class _Stream:
    """One generation under way."""

    session: Session
    seed: int
    detokenizer: Detokenizer
    fed: int = 0
    """Tokens of the engine's present run that the session has."""

    drawn: int = 0
    """Tokens sampled in earlier runs: where the random numbers go on."""

    branches: list[str] = field(default_factory=list)


class GuardedBatch:
    """Runs batches under one guard; the guard's triggers and recorder are used as they are."""

    def __init__(
        self,
        generator: Generator,
        guard: Guard,
        vocabulary: Vocabulary,
        reasoning_format: ReasoningFormat,
    ) -> None:
        """`vocabulary` is the generator's tokenizer, with its end tokens silent."""
        self.guard = guard
        self._generator = generator
        self._vocabulary = vocabulary
        self._format = reasoning_format

    def run(
        self,
        prompts: Sequence[Prompt],
        seeds: Sequence[int],
        sampling: Sampling,
        *,
        whole: bool = False,
    ) -> list[Guarded]:
        """One trace for each prompt, recorded in the guard's store as any other.

        `seeds` are those of the jobs (`generation.seed_of`). With `whole` the model writes each
        branch to its end before the guard looks at it, which gives `Guarded.branches` and costs
        the tokens beyond the cue.
        """
        streams = [
            _Stream(
                self.guard.open(prompt, self._format), seed, self._vocabulary.stream(prompt.ids)
            )
            for prompt, seed in zip(prompts, seeds, strict=True)
        ]
        alive = [each for each in streams if self._wants_tokens(each, sampling)]
        while alive:
            self._one_run(alive, sampling, whole)
            alive = [each for each in alive if self._wants_tokens(each, sampling)]
        return [self._finished(each) for each in streams]

    def _one_run(self, streams: Sequence[_Stream], sampling: Sampling, whole: bool) -> None:
        """Generates until every stream has ended or has a directive."""
        for each in streams:
            each.fed = 0
            each.detokenizer = self._vocabulary.stream(each.session.context_ids)
        kept = [each.session.tokens.text for each in streams]
        jobs = [
            Job(
                each.session.context_ids,
                each.seed,
                each.drawn,
                sampling.max_new_tokens - each.session.num_tokens,
            )
            for each in streams
        ]
        watch = None if whole else _Watch(self, streams)
        completions = self._generator.generate(jobs, sampling, watch)
        for each, completion, before in zip(streams, completions, kept, strict=True):
            each.drawn += len(completion.ids)
            if whole:
                read = self._vocabulary.stream(each.session.context_ids)
                text = "".join(read.token(token_id).text for token_id in completion.ids)
                each.branches.append(before + text)
        self._feed_rest(streams, completions)

    def _feed_rest(self, streams: Sequence[_Stream], completions: Sequence[Completion]) -> None:
        """Feeds what the watch has not, a bit at a time so that all streams are judged jointly."""
        left = list(zip(streams, completions, strict=True))
        while left:
            for stream, completion in left:
                if stream.session.directive is None:
                    self.feed(stream, completion.ids[: stream.fed + LOOK_EVERY])
            judge(self.guard.detector, [stream.session for stream, _ in left])
            left = [
                (stream, completion)
                for stream, completion in left
                if stream.session.directive is None and stream.fed < len(completion.ids)
            ]
        for stream, completion in zip(streams, completions, strict=True):
            if stream.session.directive is None and stream.session.trace is None:
                stop = completion.ended is Ended.STOP
                stream.session.end(FinishReason.STOP if stop else FinishReason.LENGTH)
        judge(self.guard.detector, [each.session for each in streams])

    def feed(self, stream: _Stream, ids: Sequence[int]) -> None:
        """Gives the session the tokens of this run that it does not have yet."""
        new = ids[stream.fed :]
        stream.session.feed([stream.detokenizer.token(token_id) for token_id in new])
        stream.fed = len(ids)

    def _wants_tokens(self, stream: _Stream, sampling: Sampling) -> bool:
        """Carries out the directive, if there is one; whether the model has to go on."""
        session = stream.session
        while session.directive is not None:
            text = session.directive.text
            session.inject(self._vocabulary.encode(text, session.context_ids))
            judge(self.guard.detector, [session])
        session.take_events()
        if session.trace is None and session.num_tokens >= sampling.max_new_tokens:
            session.end(FinishReason.LENGTH)
            judge(self.guard.detector, [session])
            return self._wants_tokens(stream, sampling)
        return session.trace is None

    def _finished(self, stream: _Stream) -> Guarded:
        trace = stream.session.trace
        assert trace is not None
        self.guard.finished(stream.session)
        return Guarded(trace, tuple(stream.branches))


class _Watch:
    """Ends a generation as soon as its session has a directive."""

    every = LOOK_EVERY

    def __init__(self, batch: GuardedBatch, streams: Sequence[_Stream]) -> None:
        self._batch = batch
        self._streams = streams

    def ended(self, written: Mapping[int, Sequence[int]]) -> list[int]:
        for number, ids in written.items():
            self._batch.feed(self._streams[number], ids)
        sessions = {number: self._streams[number].session for number in written}
        judge(self._batch.guard.detector, list(sessions.values()))
        return [number for number, each in sessions.items() if each.directive is not None]
