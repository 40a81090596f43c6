"""A vLLM engine behind the guard: chats, streams of events, and batches of thousands of prompts.

The engine belongs to an event loop in a thread of its own, so that the same object serves callers
that wait (`chat`, `stream`, `generate`) and callers on a loop of theirs (`chat_async`,
`stream_async`), from any number of threads. Programs that are asynchronous throughout can do
without that thread: `VllmBackend` and `guarded_async` work on any loop.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Generator, Mapping, Sequence
from contextlib import aclosing, nullcontext
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Self, Unpack

from .backend_vllm import VllmBackend
from .backend_vllm_loading import located
from .backend_vllm_prompts import PromptLike
from .backend_vllm_running import RunningVllm
from .chat_result import ChatResult
from .config import GuardConfig
from .detector import Message
from .events import Event, Finished
from .guard import Guard
from .guard_options import GuardOptions, guard_from_options, split_options
from .judge_service import JudgeService
from .loop_async import guarded_async
from .loop_thread import Running
from .progress import progress as progress_bar
from .prompt import Prompt
from .reasoning_format import ReasoningFormat

_AHEAD = 2
"""`generate` keeps so many times the engine's batch under way: its queue never runs dry, and no
session is open long before its turn."""


class GuardedVllm:
    """A model served by vLLM in this process, under the guard. A context manager; what is left open
    is closed when the program ends."""

    def __init__(
        self,
        running: RunningVllm,
        config: GuardConfig | None = None,
        **options: Unpack[GuardOptions],
    ) -> None:
        """The engine is `RunningVllm.start(...)`, or `RunningVllm(engine)` for an `AsyncLLM`;
        `options` are those of `GuardOptions`. Raises as `guard_from_options`.
        """
        model = running.engine.model_config.model
        self._guard = guard_from_options(config, options, model=model)
        self.running = running
        """The engine with its tokenizer and its loop; guarded models may share it."""
        self.backend = VllmBackend(
            running.engine,
            running.tokenizer,
            reasoning_format=ReasoningFormat.chosen(
                self._guard.config.reasoning_format, running.tokenizer.get_vocab()
            ),
        )
        """For the guarded loop: streams token by token."""
        self._thread = running.thread
        self._judge = JudgeService(self.guard.detector)

    @classmethod
    def from_pretrained(
        cls,
        name_or_path: str | Path,
        config: GuardConfig | None = None,
        **options: Unpack[GuardOptions],
    ) -> Self:
        """Starts an engine for a folder or a hub name. `options` are those of `GuardOptions`, and
        what vLLM's `AsyncEngineArgs` take (`dtype`, `max_model_len`, `speculative_config`, ...);
        `seed` is both.

        On a CPU vLLM starts processes by spawning: a script that calls this needs the usual
        `if __name__ == "__main__":`. Raises ValueError, OSError or RuntimeError with a sentence.
        """
        own, engine_args = split_options(options)
        if "seed" in own:
            engine_args["seed"] = own["seed"]
        guard = guard_from_options(config, own, model=located(name_or_path))
        return cls(RunningVllm.start(name_or_path, **engine_args), guard=guard)

    @property
    def guard(self) -> Guard:
        """The guard in force."""
        return self._guard

    def with_guard(self, guard: Guard) -> "GuardedVllm":
        """The same engine under another guard; closing either shuts it down."""
        return GuardedVllm(self.running, guard=guard)

    def chat(self, messages: Sequence[Message], **options: Any) -> ChatResult:
        """Answers a conversation. `options`: `tools`, `chat_template_kwargs` and `topic` as for
        `GuardedModel.chat`, all else sampling settings with vLLM's names (`temperature`,
        `max_new_tokens`, `seed`, `stop`, `lora_request`, ...; see `SAMPLING` in
        backend_vllm_sampling.py). Raises ValueError for what cannot be honoured.
        """
        prompt, sampling = self._chat_prompt(messages, options)
        return self._thread.run(self._result(prompt, sampling))

    async def chat_async(self, messages: Sequence[Message], **options: Any) -> ChatResult:
        """`chat` for a caller on an event loop."""
        prompt, sampling = self._chat_prompt(messages, options)
        running = Running(self._thread, self._result(prompt, sampling))
        return await asyncio.wrap_future(running.future)

    def stream(self, messages: Sequence[Message], **options: Any) -> Generator[Event, None, None]:
        """As `chat`, as events while they happen, `Finished` last. Closing the iterator ends the
        generation; the trace is recorded as cancelled."""
        prompt, sampling = self._chat_prompt(messages, options)
        return self._sync_events(prompt, sampling)

    def stream_async(self, messages: Sequence[Message], **options: Any) -> AsyncGenerator[Event]:
        """`stream` for a caller on an event loop."""
        prompt, sampling = self._chat_prompt(messages, options)
        return self._async_events(prompt, sampling)

    def generate(
        self,
        prompts: Sequence[PromptLike],
        sampling: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None,
        *,
        topic: str | None = None,
        progress: bool = True,
    ) -> list[ChatResult]:
        """Any number of prompts at once, results in their order.

        A prompt is a conversation, or a whole prompt as text, as ids, or as a `Prompt`. `sampling`
        is the same for all, or one for each. All are checked before the first is generated: raises
        ValueError naming the prompt. `progress` shows a bar where stderr is a terminal.
        """
        if sampling is None or isinstance(sampling, Mapping):
            settings: list[Mapping[str, Any]] = [sampling or {}] * len(prompts)
        else:
            settings = list(sampling)
        if len(settings) != len(prompts):
            raise ValueError(f"there are {len(prompts)} prompts and {len(settings)} samplings")
        jobs: list[tuple[Prompt, Mapping[str, Any]]] = []
        for number, (given, own) in enumerate(zip(prompts, settings, strict=True)):
            try:
                self.backend.check(own)
                jobs.append((self.running.prompts.of(given, own, topic), own))
            except ValueError as error:
                raise ValueError(f"prompt {number}: {error}") from error
        bar = progress_bar("generating", len(jobs)) if progress else nullcontext(_silent)
        with bar as step:
            return self._thread.run(self._batch(jobs, step))

    def close(self) -> None:
        """Ends what runs, and shuts the engine down."""
        self.running.close()
        self._judge.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"GuardedVllm({self.running.engine.model_config.model!r})"

    # -- before and on the engine's loop -------------------------------------------------------

    def _chat_prompt(
        self, messages: Sequence[Message], options: Mapping[str, Any]
    ) -> tuple[Prompt, dict[str, Any]]:
        sampling = dict(options)
        topic = sampling.pop("topic", None)
        tools, template = sampling.pop("tools", None), sampling.pop("chat_template_kwargs", None)
        self.backend.check(sampling)
        prompts = self.running.prompts
        prompt = prompts.chat(messages, tools=tools, template_options=template)
        return prompts.of(prompt, sampling, topic), sampling

    def _events(self, prompt: Prompt, sampling: Mapping[str, Any]) -> AsyncGenerator[Event]:
        return guarded_async(self.backend, self.guard, self._judge, prompt, sampling)

    async def _result(self, prompt: Prompt, sampling: Mapping[str, Any]) -> ChatResult:
        async with aclosing(self._events(prompt, sampling)) as events:
            async for event in events:
                if isinstance(event, Finished):
                    return ChatResult.of(event.trace)
        raise AssertionError("a generation ends with Finished")

    async def _batch(
        self, jobs: Sequence[tuple[Prompt, Mapping[str, Any]]], step: Callable[[], None]
    ) -> list[ChatResult]:
        room = asyncio.Semaphore(_AHEAD * self.running.max_num_seqs)

        async def one(prompt: Prompt, sampling: Mapping[str, Any]) -> ChatResult:
            try:
                result = await self._result(prompt, sampling)
            finally:
                room.release()
            step()
            return result

        tasks: list[asyncio.Task[ChatResult]] = []
        try:
            async with asyncio.TaskGroup() as group:
                for prompt, sampling in jobs:
                    await room.acquire()
                    tasks.append(group.create_task(one(prompt, sampling)))
        except ExceptionGroup as several:  # the first one says it; the others were cut off
            raise several.exceptions[0] from None
        return [task.result() for task in tasks]

    def _sync_events(
        self, prompt: Prompt, sampling: Mapping[str, Any]
    ) -> Generator[Event, None, None]:
        queue: SimpleQueue[Event | BaseException | None] = SimpleQueue()
        running = Running(self._thread, self._feed(prompt, sampling, queue.put))
        try:
            while (item := queue.get()) is not None:
                if isinstance(item, BaseException):
                    raise item
                yield item
        finally:
            running.cancel()

    async def _async_events(
        self, prompt: Prompt, sampling: Mapping[str, Any]
    ) -> AsyncGenerator[Event]:
        queue: asyncio.Queue[Event | BaseException | None] = asyncio.Queue()
        loop = asyncio.get_running_loop()

        def put(item: Event | BaseException | None) -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(queue.put_nowait, item)

        running = Running(self._thread, self._feed(prompt, sampling, put))
        try:
            while (item := await queue.get()) is not None:
                if isinstance(item, BaseException):
                    raise item
                yield item
        finally:
            running.future.cancel()
            await asyncio.to_thread(running.cancel)

    async def _feed(
        self,
        prompt: Prompt,
        sampling: Mapping[str, Any],
        put: Callable[[Event | BaseException | None], None],
    ) -> None:
        """Hands the events over to another thread: `None` at the end, or what was raised."""
        try:
            async with aclosing(self._events(prompt, sampling)) as events:
                async for event in events:
                    put(event)
            put(None)
        except Exception as error:
            put(error)


def _silent() -> None:
    """No progress bar."""
