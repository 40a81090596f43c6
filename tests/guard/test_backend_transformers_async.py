"""A Hugging Face model behind the asynchronous contract."""

# pyright: reportPrivateUsage=false

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import torch
from fakes import WordDetector
from tiny_models import tiny_model, tiny_tokenizer

from rerail.guard import Finished, FinishReason, Guard, Prompt, TokenTable, Trace
from rerail.guard.backend_transformers_async import AsyncTransformersBackend
from rerail.guard.judge_service import JudgeService
from rerail.guard.loop_async import guarded_async
from rerail.guard.tokens import Author, Token

DRAWN = {"temperature": 1.0, "seed": 3, "max_new_tokens": 40}


def prompt(text: str = "All is well here.") -> Prompt:
    ids = tuple(tiny_tokenizer()(text)["input_ids"])
    return Prompt(messages=({"role": "user", "content": text},), text=text, ids=ids)


@asynccontextmanager
async def backend(**options: Any) -> AsyncGenerator[AsyncTransformersBackend]:
    made = AsyncTransformersBackend(tiny_model("qwen3"), tiny_tokenizer(), **options)
    try:
        yield made
    finally:
        await asyncio.to_thread(made.close)


async def ids_of(made: AsyncTransformersBackend, kept: TokenTable, **sampling: Any) -> list[Any]:
    stream = made.stream(prompt(), kept, sampling)
    ids = [token.id async for tokens in stream for token in tokens]
    await stream.close()
    return ids


def test_greedy_is_what_the_model_generates() -> None:
    async def run() -> list[Any]:
        async with backend() as made:
            return await ids_of(made, TokenTable(), temperature=0, max_new_tokens=30)

    ids = torch.tensor([prompt().ids])
    output = tiny_model("qwen3").generate(ids, max_new_tokens=30, do_sample=False)
    assert asyncio.run(run()) == output[0, ids.shape[1] :].tolist()


@pytest.mark.parametrize("options", [{"temperature": 0}, {**DRAWN, "presence_penalty": 1.5}])
def test_log_probabilities_are_those_of_the_models_logits(options: dict[str, Any]) -> None:
    async def run(**asked: Any) -> list[Token]:
        async with backend() as made:
            stream = made.stream(prompt(), TokenTable(), {**options, "max_new_tokens": 12, **asked})
            tokens = [token async for group in stream for token in group]
            await stream.close()
            return tokens

    plain, tokens = asyncio.run(run()), asyncio.run(run(logprobs=3))
    assert [token.id for token in plain] == [token.id for token in tokens]
    assert {token.logprob for token in plain} == {None}
    context = list(prompt().ids)
    for token in tokens:
        with torch.no_grad():
            logits = tiny_model("qwen3")(torch.tensor([context])).logits[0, -1]
        expected = logits.log_softmax(-1)
        found = token.logprob
        assert found is not None and token.id is not None
        assert found.token == tiny_tokenizer().decode([token.id])
        assert found.logprob == pytest.approx(float(expected[token.id]), abs=1e-4)
        best = [value for _, value in found.top]
        assert best == pytest.approx(expected.topk(3).values.tolist(), abs=1e-4)
        context.append(token.id)


def test_seed_decides_whatever_else_runs() -> None:
    """The draw must not depend on the global generator, or on runs between."""

    async def run() -> list[list[Any]]:
        async with backend() as made:
            others = [ids_of(made, TokenTable(), **{**DRAWN, "seed": n}) for n in range(4)]
            return await asyncio.gather(ids_of(made, TokenTable(), **DRAWN), *others)

    torch.manual_seed(1)
    first, *others = asyncio.run(run())
    torch.manual_seed(2)
    state = torch.get_rng_state()
    again = asyncio.run(run())
    assert again == [first, *others]
    assert others[3] == first and others[0] != first
    assert torch.equal(torch.get_rng_state(), state)


def test_many_guarded_streams_are_repeatable() -> None:
    """Interventions included; the first step is always a cue, by one letter that is everywhere."""

    async def run() -> list[Trace]:
        guard = Guard(WordDetector(at_end=["e"]))
        async with backend() as made:
            with JudgeService(guard.detector) as service:

                async def one(number: int) -> Trace:
                    sampling = {"temperature": 1.0, "seed": number, "max_new_tokens": 60}
                    own = prompt(f"Number {number} is well.")
                    async for event in guarded_async(made, guard, service, own, sampling):
                        if isinstance(event, Finished):
                            return event.trace
                    raise AssertionError

                traces = await asyncio.gather(*map(one, range(6)))
            assert made.num_open == 0
            return list(traces)

    first, second = asyncio.run(run()), asyncio.run(run())
    assert [trace.ids for trace in first] == [trace.ids for trace in second]
    assert any(trace.interventions for trace in first)
    for trace in first:
        assert len(trace.tokens) == len(trace.ids) - len(trace.prompt_ids)


def test_closing_stops_the_model() -> None:
    async def run() -> int:
        async with backend(max_ahead=4) as made:
            stream = made.stream(prompt(), TokenTable(), {"temperature": 1.0, "seed": 8})
            num_read = 0
            async for _ in stream:
                num_read += 1
                if num_read == 3:
                    break
            await stream.close()
            await stream.close()
            assert await ids_of(made, TokenTable(), **DRAWN), "the next run is served"
            return made.num_open

    assert asyncio.run(run()) == 0


def test_a_slow_reader_holds_the_model_back() -> None:
    async def run() -> int:
        async with backend(max_ahead=5) as made:
            stream = made.stream(prompt(), TokenTable(), {"temperature": 1.0, "seed": 4})
            await anext(aiter(stream))
            await asyncio.sleep(0.5)
            waiting = stream._ready.qsize()
            await stream.close()
            return waiting

    assert asyncio.run(run()) <= 6


def test_runs_after_an_intervention_go_first() -> None:
    async def run() -> list[str]:
        order: list[str] = []

        async def one(name: str, made: AsyncTransformersBackend, kept: TokenTable) -> None:
            await ids_of(made, kept, temperature=0, max_new_tokens=12)
            order.append(name)

        async with backend() as made:
            kept = TokenTable()
            kept.append(Token(60, "x"), Author.INJECTED)
            first = asyncio.create_task(one("first", made, TokenTable()))
            await asyncio.sleep(0)
            tasks = [asyncio.create_task(one(f"new {n}", made, TokenTable())) for n in range(3)]
            tasks.append(asyncio.create_task(one("resumed", made, kept)))
            await asyncio.gather(first, *tasks)
        return order

    assert "resumed" in asyncio.run(run())[:2], "it was the last to ask"


def test_no_room_is_the_end() -> None:
    async def run() -> FinishReason:
        async with backend() as made:
            kept = TokenTable()
            for _ in range(5):
                kept.append(Token(60, "x"), Author.SAMPLED)
            stream = made.stream(prompt(), kept, {"max_new_tokens": 5})
            assert [tokens async for tokens in stream] == []
            await stream.close()
            return stream.finish_reason

    assert asyncio.run(run()) is FinishReason.LENGTH


def test_failures_are_raised_where_it_is_read() -> None:
    class Broken:
        def __init__(self, model: Any) -> None:
            self.config, self.generation_config = model.config, model.generation_config
            self.device = model.device

        def generate(self, *_: Any, **__: Any) -> Any:
            raise RuntimeError("out of memory")

    async def run() -> None:
        made = AsyncTransformersBackend(Broken(tiny_model("qwen3")), tiny_tokenizer())
        try:
            await ids_of(made, TokenTable(), **DRAWN)
        finally:
            await asyncio.to_thread(made.close)

    with pytest.raises(RuntimeError, match="out of memory"):
        asyncio.run(run())


def test_unknown_settings_are_refused() -> None:
    async def run() -> None:
        async with backend() as made:
            made.stream(prompt(), TokenTable(), {"beams": 4})

    with pytest.raises(ValueError, match="beams"):
        asyncio.run(run())


def test_penalties_and_bias() -> None:
    async def run() -> tuple[list[Any], list[Any]]:
        async with backend() as made:
            greedy = {"temperature": 0, "max_new_tokens": 20}
            biased = await ids_of(made, TokenTable(), **greedy, logit_bias={77: 100.0})
            varied = await ids_of(
                made,
                TokenTable(),
                **greedy,
                logit_bias={77: 100.0},
                presence_penalty=2.0,
                frequency_penalty=2.0,
            )
            return biased, varied

    biased, varied = asyncio.run(run())
    assert set(biased) == {77}
    assert varied[0] == 77
