"""The asynchronous loop says what the synchronous one says, for any number of streams."""

import asyncio
import threading
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field

import pytest
from fakes import WordDetector

from rerail.guard import (
    Action,
    Channel,
    Event,
    Finished,
    FinishReason,
    Guard,
    GuardConfig,
    Message,
    Released,
    Trace,
    guarded,
)
from rerail.guard.backend_scripted import ScriptedBackend
from rerail.guard.backend_scripted_async import AsyncScriptedBackend, AsyncScriptedStream
from rerail.guard.detector import Probabilities
from rerail.guard.judge_service import JudgeService
from rerail.guard.loop_async import guarded_async

BAD = "Fine so far. Now a bad thing happens. And more of it. And more.</think>\n\nDone."
CALM = "Fine so far. And calm.</think>\n\nThe answer is {}."


@dataclass
class QuickDetector(WordDetector):
    """Says that it reads words in no time, and notes the threads that it is called on."""

    reads_words_at_once: bool = True
    suspicious: str = "bad"
    """Steps with this in them are not judged at once."""

    threads: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))

    def start(self, messages: Sequence[Message]) -> str:
        self.threads["start"].add(threading.current_thread().name)
        return super().start(messages)

    def score(
        self, states: Sequence[str], texts: Sequence[str], channels: Sequence[Channel]
    ) -> tuple[list[str], Probabilities]:
        self.threads["score"].add(threading.current_thread().name)
        return super().score(states, texts, channels)

    def end_step(
        self, states: Sequence[str], steps: Sequence[str]
    ) -> tuple[list[str], Probabilities]:
        self.threads["end_step"].add(threading.current_thread().name)
        return super().end_step(states, steps)

    def end_step_at_once(
        self, states: Sequence[str], steps: Sequence[str]
    ) -> tuple[list[str], Probabilities] | None:
        self.threads["at once"].add(threading.current_thread().name)
        if any(self.suspicious in step for step in steps):
            return None
        return super().end_step(states, steps)


def script(number: int) -> ScriptedBackend:
    calm = CALM.format(number)
    return ScriptedBackend([BAD, " So." + calm] if number % 3 == 0 else [calm])


async def trace_of(events: AsyncIterator[Event]) -> Trace:
    async for event in events:
        if isinstance(event, Finished):
            return event.trace
    raise AssertionError("no end")


def test_many_streams_give_what_one_by_one_gives() -> None:
    numbers = range(60)
    detector = WordDetector(at_end=["bad"])
    guard = Guard(detector)

    async def run() -> list[Trace]:
        scripts = {str(number): script(number) for number in numbers}
        backend = AsyncScriptedBackend(scripts)
        with JudgeService(guard.detector) as service:
            tasks = [
                trace_of(guarded_async(backend, guard, service, each.prompt(request)))
                for request, each in scripts.items()
            ]
            return list(await asyncio.gather(*tasks))

    traces = asyncio.run(run())
    assert len(detector.read) > 3 * detector.num_calls, "streams were not judged together"
    for number, trace in zip(numbers, traces, strict=True):
        backend = script(number)
        *_, last = guarded(backend, guard, backend.prompt(str(number)))
        assert isinstance(last, Finished)
        assert trace.text == last.trace.text
        assert trace.ids == last.trace.ids
        assert trace.action is (Action.INTERVENE if number % 3 == 0 else Action.ALLOW)


def test_a_few_words_and_calm_steps_are_read_without_the_thread_and_all_else_in_it() -> None:
    detector = QuickDetector(at_end=["bad"])
    guard = Guard(detector)

    def generated(group: int) -> Trace:
        scripts = {"x": ScriptedBackend([BAD, " So." + CALM.format(1)], group=group)}

        async def run() -> Trace:
            with JudgeService(detector) as service:
                backend = AsyncScriptedBackend(scripts)
                events = guarded_async(backend, guard, service, scripts["x"].prompt("x"))
                return await trace_of(events)

        return asyncio.run(run())

    word_by_word = generated(1)
    here = threading.current_thread().name
    assert here in detector.threads["score"]
    assert detector.threads["at once"] == {here}, "most steps are calm"
    assert detector.threads["end_step"], "but one"
    assert here not in detector.threads["end_step"] | detector.threads["start"]
    detector.threads.clear()
    all_at_once = generated(1000)
    assert not any(here in each for each in detector.threads.values())
    assert word_by_word.text == all_at_once.text
    assert word_by_word.action is all_at_once.action is Action.INTERVENE


def test_who_leaves_before_the_engine_has_the_request_leaves_a_trace() -> None:
    class Waiting(AsyncScriptedStream):
        on_accepted = staticmethod(lambda: None)

        async def __aiter__(self):  # type: ignore[no-untyped-def]
            await asyncio.Event().wait()
            yield ()

    class Backend(AsyncScriptedBackend):
        def stream(self, prompt, kept, sampling):  # type: ignore[no-untyped-def]
            return Waiting(self, self.scripts[prompt.request].stream(prompt, kept, sampling))

    recorded: list[Trace] = []
    guard = Guard(WordDetector(), record=recorded.append)

    async def run() -> int:
        scripts = {"x": ScriptedBackend([CALM])}
        backend = Backend(scripts)
        with JudgeService(guard.detector) as service:
            prompt = scripts["x"].prompt("x")
            task = asyncio.create_task(trace_of(guarded_async(backend, guard, service, prompt)))
            while not backend.num_open:
                await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        return backend.num_open

    assert asyncio.run(run()) == 0
    assert [trace.finish_reason for trace in recorded] == [FinishReason.CANCELLED]


def test_a_detector_that_cannot_read_the_request_lets_nothing_pass() -> None:
    """The engine has begun by then: it is stopped, and what it has said is not said on."""

    class Blind(WordDetector):
        def start(self, messages: Sequence[Message]) -> str:
            raise RuntimeError("out of memory")

    recorded: list[Trace] = []
    guard = Guard(Blind(), GuardConfig(refusals=("I refuse.",)), record=recorded.append)

    async def run() -> tuple[str, int]:
        scripts = {"x": ScriptedBackend([CALM])}
        backend, released = AsyncScriptedBackend(scripts), ""
        with JudgeService(guard.detector) as service:
            prompt = scripts["x"].prompt("x")
            async for event in guarded_async(backend, guard, service, prompt):
                released += event.text if isinstance(event, Released) else ""
        return released, backend.num_open

    released, num_open = asyncio.run(run())
    assert "calm" not in released and released.endswith("I refuse.")
    assert num_open == 0
    assert [trace.finish_reason for trace in recorded] == [FinishReason.CONTENT_FILTER]
    assert len(recorded[0].failures) == 1


def test_cancelling_ends_the_generation_and_records_it() -> None:
    recorded: list[Trace] = []
    guard = Guard(WordDetector(), record=recorded.append)

    async def run() -> int:
        scripts = {"x": ScriptedBackend(["word " * 500])}
        backend = AsyncScriptedBackend(scripts, delay_s=0.001)
        with JudgeService(guard.detector) as service:
            prompt = scripts["x"].prompt("x")
            task = asyncio.create_task(trace_of(guarded_async(backend, guard, service, prompt)))
            await asyncio.sleep(0.1)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await asyncio.sleep(0.05)
            return backend.num_open

    assert asyncio.run(run()) == 0
    assert [trace.finish_reason for trace in recorded] == [FinishReason.CANCELLED]


def test_engine_failure_is_recorded_and_raised() -> None:
    class Broken(AsyncScriptedStream):
        async def __aiter__(self):  # type: ignore[no-untyped-def]
            async for tokens in super().__aiter__():
                yield tokens
            raise ConnectionError("the engine is gone")

    class Backend(AsyncScriptedBackend):
        def stream(self, prompt, kept, sampling):  # type: ignore[no-untyped-def]
            return Broken(self, self.scripts[prompt.request].stream(prompt, kept, sampling))

    recorded: list[Trace] = []
    guard = Guard(WordDetector(), record=recorded.append)

    async def run() -> None:
        scripts = {"x": ScriptedBackend([CALM])}
        with JudgeService(guard.detector) as service:
            await trace_of(
                guarded_async(Backend(scripts), guard, service, scripts["x"].prompt("x"))
            )

    with pytest.raises(ConnectionError):
        asyncio.run(run())
    assert [trace.finish_reason for trace in recorded] == [FinishReason.ERROR]


@pytest.mark.parametrize("at_once", [False, True])
def test_only_the_stream_that_asks_for_it_gets_the_exception(at_once: bool) -> None:
    detector = QuickDetector(raise_on="secret", reads_words_at_once=at_once)
    strict = Guard(detector, GuardConfig(on_detector_error="raise"))  # type: ignore[arg-type]

    async def run() -> list[Trace | BaseException]:
        scripts = {
            "a": ScriptedBackend(["Fine. A secret. End."], group=100),
            "b": ScriptedBackend(["Fine. All calm. End."], group=100),
        }
        backend = AsyncScriptedBackend(scripts)
        with JudgeService(detector) as service:
            tasks = [
                trace_of(guarded_async(backend, strict, service, scripts[name].prompt(name)))
                for name in scripts
            ]
            return await asyncio.gather(*tasks, return_exceptions=True)

    first, second = asyncio.run(run())
    assert isinstance(first, RuntimeError)
    assert isinstance(second, Trace) and second.text == "Fine. All calm. End."
