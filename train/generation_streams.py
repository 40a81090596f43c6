"""Batches over any backend that streams: vLLM in this process, or a fleet of upstream servers.

Every job is a stream of its own; the engine or the fleet makes a batch of them. What is generated
under a watch is looked at while it runs: those that wait for a look are shown to it together,
in a thread, so that it may itself generate meanwhile.
"""

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Self

from ..guard.backend_async import AsyncBackend
from ..guard.loop_thread import LoopThread
from ..guard.prompt import Prompt
from ..guard.tokens import TokenTable
from ..guard.traces import FinishReason
from .generation import Completion, Ended, Job, Sampling, Watch, seed_of

if TYPE_CHECKING:
    from ..guard.backend_vllm_running import RunningVllm
    from ..guard.upstream_settings import UpstreamSettings


class StreamsGenerator:
    """One backend, on the event loop of a thread. Its seeds are the backend's: a generation that
    goes on later draws other numbers there than one that runs through."""

    def __init__(
        self,
        backend: AsyncBackend,
        thread: LoopThread,
        *,
        max_at_once: int = 256,
        max_positions: int | None = None,
    ) -> None:
        """`max_positions` are the tokens of the model's context, where that is known."""
        if max_at_once < 1:
            raise ValueError(f"max_at_once is {max_at_once}: give at least 1")
        self._backend, self._thread = backend, thread
        self._max_at_once = max_at_once
        self._max_positions = max_positions or 1 << 30

    @classmethod
    def from_vllm(cls, running: "RunningVllm") -> Self:
        """An engine that runs in this process."""
        from ..guard.backend_vllm import VllmBackend

        backend = VllmBackend(running.engine, running.tokenizer)
        return cls(
            backend,
            running.thread,
            max_at_once=2 * running.max_num_seqs,
            max_positions=backend.max_positions,
        )

    @classmethod
    def from_upstream(
        cls,
        url: str,
        tokenizer: Any,
        settings: "UpstreamSettings",
        *,
        api_key: str | None = None,
        max_at_once: int = 256,
    ) -> Self:
        """Servers that take and give token ids. Raises `UpstreamError` where none answers, and
        ValueError for one that gives text only: pairs need exact ids."""
        from ..guard.backend_upstream import AsyncUpstreamBackend
        from ..guard.detokenizer import Vocabulary
        from ..guard.reasoning_format import ReasoningFormat
        from ..guard.upstream_client import UpstreamClient
        from ..guard.upstream_codecs import VocabularyCodec
        from ..guard.upstream_discovery import UpstreamMode, discover

        found = discover(url, settings, api_key)
        if found.mode is not UpstreamMode.IDS:
            raise ValueError(
                f"{url} gives no token ids, and pairs need them: use `vllm serve`, or load the "
                "model here"
            )
        client = UpstreamClient([url, *settings.upstream_replica], settings, api_key)
        backend = AsyncUpstreamBackend(
            client,
            found.model,
            VocabularyCodec(Vocabulary(tokenizer.backend_tokenizer)),
            reasoning_format=ReasoningFormat.detect(tokenizer.get_vocab()),
        )
        return cls(
            backend,
            LoopThread("rerail-rollouts"),
            max_at_once=max_at_once,
            max_positions=found.max_model_len,
        )

    def close(self) -> None:
        """Ends the event loop's thread; the backend has no other."""
        self._thread.close()

    def generate(
        self, jobs: Sequence[Job], sampling: Sampling, watch: Watch | None = None
    ) -> list[Completion]:
        """See `Generator`. What one stream raises goes through, and ends the others."""
        return self._thread.run(self._all(jobs, sampling, watch))

    async def _all(
        self, jobs: Sequence[Job], sampling: Sampling, watch: Watch | None
    ) -> list[Completion]:
        room = asyncio.Semaphore(self._max_at_once)
        looks = None if watch is None else _Looks(watch)

        async def one(number: int, job: Job) -> Completion:
            async with room:
                return await self._one(number, job, sampling, looks)

        tasks = [asyncio.ensure_future(one(number, job)) for number, job in enumerate(jobs)]
        try:
            return await asyncio.gather(*tasks)
        except BaseException:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            raise

    async def _one(
        self, number: int, job: Job, sampling: Sampling, looks: "_Looks | None"
    ) -> Completion:
        left = self._max_positions - len(job.ids)
        budget = min(job.max_new_tokens or sampling.max_new_tokens, left)
        if budget < 1:
            return Completion((), Ended.LENGTH)
        prompt = Prompt(messages=(), text="ids", ids=job.ids)
        stream = self._backend.stream(prompt, TokenTable(), _options(job, sampling, budget))
        ids: list[int] = []
        looked = 0
        try:
            async for tokens in stream:
                ids += [token.id for token in tokens if token.id is not None]
                if looks is None or len(ids) - looked < looks.every or len(ids) >= budget:
                    continue
                looked = len(ids)
                if await looks.ended(number, tuple(ids)):
                    return Completion(tuple(ids), Ended.WATCH)
        finally:
            await stream.close()
        ended = Ended.LENGTH if stream.finish_reason is FinishReason.LENGTH else Ended.STOP
        return Completion(tuple(ids), ended)


class _Looks:
    """Collects those who wait for a look while one is being taken."""

    def __init__(self, watch: Watch) -> None:
        self.every = watch.every
        self._watch = watch
        self._lock = asyncio.Lock()
        self._waiting: dict[int, tuple[int, ...]] = {}
        self._done: set[int] = set()

    async def ended(self, number: int, ids: tuple[int, ...]) -> bool:
        self._waiting[number] = ids
        async with self._lock:
            if number in self._waiting:
                shown, self._waiting = self._waiting, {}
                self._done |= set(await asyncio.to_thread(self._watch.ended, shown))
        return number in self._done


def _options(job: Job, sampling: Sampling, budget: int) -> dict[str, Any]:
    options: dict[str, Any] = {
        "temperature": sampling.temperature,
        "max_new_tokens": budget,
        "seed": job.seed if not job.drawn else seed_of(job.seed, job.drawn),
    }
    if sampling.temperature:
        options["top_p"] = sampling.top_p
        if sampling.top_k:
            options["top_k"] = sampling.top_k
    return options
