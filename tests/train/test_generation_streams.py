"""Batches over a backend that streams: order, budgets, looks that generate, failures."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from typing import Any

import pytest

from rerail.guard.loop_thread import LoopThread
from rerail.guard.prompt import Prompt
from rerail.guard.reasoning_format import ReasoningFormat
from rerail.guard.tokens import Token, TokenTable
from rerail.guard.traces import FinishReason
from rerail.train.generation import Completion, Ended, Job, Sampling
from rerail.train.generation_streams import StreamsGenerator

END = 0


class Counting:
    """Counts up from the last id of the prompt, one id a group, and ends before a multiple of ten;
    13 breaks it."""

    reasoning_format = ReasoningFormat.named("none")

    def __init__(self) -> None:
        self.asked: list[Mapping[str, Any]] = []
        self.num_open = self.most_open = 0

    def stream(self, prompt: Prompt, kept: TokenTable, sampling: Mapping[str, Any]) -> "Count":
        self.asked.append(sampling)
        return Count(self, prompt.ids[-1], sampling["max_new_tokens"])

    async def encode(self, text: str, prompt: Prompt, kept: TokenTable) -> list[Token]:
        raise AssertionError("rollouts encode by themselves")


class Count:
    def __init__(self, backend: Counting, last: int, left: int) -> None:
        self.finish_reason = FinishReason.LENGTH
        self._backend, self._last, self._left = backend, last, left
        self._open = True
        backend.num_open += 1
        backend.most_open = max(backend.most_open, backend.num_open)

    async def __aiter__(self) -> AsyncIterator[Sequence[Token]]:
        for given in range(self._left):
            await asyncio.sleep(0)
            number = self._last + 1 + given
            if number == 13:
                raise RuntimeError("the engine broke")
            if number % 10 == 0:
                self.finish_reason = FinishReason.STOP
                yield [Token(END, "")]
                return
            yield [Token(number, str(number))]

    async def close(self) -> None:
        if self._open:
            self._open = False
            self._backend.num_open -= 1


class Above:
    """Ends what has reached a number; generates meanwhile, as a model that judges itself does."""

    every = 2

    def __init__(self, generator: StreamsGenerator, limit: int) -> None:
        self.generator, self.limit = generator, limit
        self.looks = 0

    def ended(self, written: Mapping[int, Sequence[int]]) -> list[int]:
        self.looks += 1
        (inner,) = self.generator.generate([Job((38,))], Sampling())
        assert inner == Completion((39, END), Ended.STOP)
        return [number for number, ids in written.items() if ids[-1] >= self.limit]


@pytest.fixture
def thread() -> Iterator[LoopThread]:
    thread = LoopThread("test")
    yield thread
    thread.close()


def test_completions_come_in_the_order_of_the_jobs(thread: LoopThread) -> None:
    backend = Counting()
    generator = StreamsGenerator(backend, thread, max_at_once=2, max_positions=6)
    jobs = [
        Job((27,), seed=5),
        Job((1, 21), seed=6, max_new_tokens=3),
        Job((21,) * 6),
        Job((35,), drawn=4),
    ]
    made = generator.generate(jobs, Sampling(temperature=0.5, top_p=0.9))
    assert made == [
        Completion((28, 29, END), Ended.STOP),
        Completion((22, 23, 24), Ended.LENGTH),
        Completion((), Ended.LENGTH),  # its prompt fills the context
        Completion((36, 37, 38, 39, END), Ended.STOP),
    ]
    assert backend.most_open == 2 and backend.num_open == 0
    assert [each["seed"] for each in backend.asked[:2]] == [5, 6]
    assert backend.asked[2]["seed"] not in (0, 4)
    assert backend.asked[0]["top_p"] == 0.9 and "top_k" not in backend.asked[0]


def test_a_watch_may_generate_itself_while_streams_run(thread: LoopThread) -> None:
    generator = StreamsGenerator(Counting(), thread)
    watch = Above(generator, 44)
    made = generator.generate([Job((40,)), Job((46,)), Job((42,))], Sampling(), watch)
    assert made[0].ended is made[2].ended is Ended.WATCH
    assert made[0].ids[:4] == (41, 42, 43, 44) and made[0].ids[-1] < 47
    assert watch.looks >= 2
    assert made[1].ids[:2] == (47, 48)


def test_what_breaks_is_said_and_ends_the_others(thread: LoopThread) -> None:
    backend = Counting()
    generator = StreamsGenerator(backend, thread)
    with pytest.raises(RuntimeError, match="the engine broke"):
        generator.generate([Job((10,)), Job((40,))], Sampling())
    assert backend.num_open == 0
