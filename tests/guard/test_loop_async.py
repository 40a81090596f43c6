"""The asynchronous loop says what the synchronous one says, for any number of streams."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from fakes import WordDetector

from rerail.guard import Action, Event, Finished, FinishReason, Guard, GuardConfig, Trace, guarded
from rerail.guard.backend_scripted import ScriptedBackend
from rerail.guard.backend_scripted_async import AsyncScriptedBackend, AsyncScriptedStream
from rerail.guard.judge_service import JudgeService
from rerail.guard.loop_async import guarded_async

BAD = "Fine so far. Now a bad thing happens. And more of it. And more.</think>\n\nDone."
CALM = "Fine so far. And calm.</think>\n\nThe answer is {}."


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
    guard = Guard(WordDetector(at_end=["bad"]))

    async def run() -> tuple[list[Trace], JudgeService]:
        scripts = {str(number): script(number) for number in numbers}
        backend = AsyncScriptedBackend(scripts)
        with JudgeService(guard.detector) as service:
            tasks = [
                trace_of(guarded_async(backend, guard, service, each.prompt(request)))
                for request, each in scripts.items()
            ]
            return list(await asyncio.gather(*tasks)), service

    traces, service = asyncio.run(run())
    for number, trace in zip(numbers, traces, strict=True):
        backend = script(number)
        *_, last = guarded(backend, guard, backend.prompt(str(number)))
        assert isinstance(last, Finished)
        assert trace.text == last.trace.text
        assert trace.ids == last.trace.ids
        assert trace.action is (Action.INTERVENE if number % 3 == 0 else Action.ALLOW)
    assert service.num_judged > 3 * service.num_calls, "streams were not judged together"


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


def test_only_the_stream_that_asks_for_it_gets_the_exception() -> None:
    detector = WordDetector(raise_on="secret")
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
