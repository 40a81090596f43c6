"""Batched generation: every job gives what it gives alone, whole or in parts."""

# pyright: reportPrivateUsage=false

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
import torch

from rerail.guard.backend_transformers_loading import load
from rerail.train.generation import Ended, Job, Sampling, seed_of
from rerail.train.generation_transformers import TransformersGenerator, _choose
from rerail.train.sandbox.sampling import prompt_ids
from rerail.train.sandbox.shipped import model_folder
from rerail.train.sandbox.world import prompts

SAMPLING = Sampling(max_new_tokens=40)


@pytest.fixture(scope="module")
def generator() -> TransformersGenerator:
    return TransformersGenerator(*load(model_folder()), batch_size=8)


@pytest.fixture(scope="module")
def jobs(generator: TransformersGenerator) -> list[Job]:
    asked = prompts("test", "harmful", num=6)
    ids = [tuple(prompt_ids(generator.tokenizer, each.messages)) for each in asked]
    return [Job(each, seed_of("test", number)) for number, each in enumerate(ids)]


class LetGo:
    """Ends a job once it has so many tokens."""

    every = 8

    def __init__(self, at: Mapping[int, int]) -> None:
        self.at = at
        self.seen: list[dict[int, int]] = []

    def ended(self, written: Mapping[int, Sequence[int]]) -> list[int]:
        self.seen.append({number: len(ids) for number, ids in written.items()})
        return [number for number, ids in written.items() if len(ids) >= self.at.get(number, 999)]


def test_a_job_gives_the_same_alone_and_among_others(
    generator: TransformersGenerator, jobs: list[Job]
) -> None:
    together = generator.generate(jobs, SAMPLING)
    alone = [generator.generate([job], SAMPLING)[0] for job in jobs]
    assert together == alone
    assert len({each.ids for each in together}) == len(jobs)


def test_going_on_later_gives_what_one_go_gives(
    generator: TransformersGenerator, jobs: list[Job]
) -> None:
    whole = generator.generate(jobs, SAMPLING)
    first = generator.generate(jobs, Sampling(max_new_tokens=13))
    later = [
        Job(job.ids + part.ids, job.seed, drawn=13, max_new_tokens=27)
        for job, part in zip(jobs, first, strict=True)
    ]
    rest = generator.generate(later, SAMPLING)
    assert [a.ids + b.ids for a, b in zip(first, rest, strict=True)] == [a.ids for a in whole]


@pytest.mark.parametrize("shared", [None, 10])
def test_a_shared_head_is_read_once_and_changes_nothing(
    generator: TransformersGenerator, jobs: list[Job], shared: int | None
) -> None:
    rows = [
        Job(job.ids + extra, seed, shared=shared and len(job.ids))
        for job in jobs[:2]
        for seed, extra in enumerate([(), (300,), (301, 302, 303)] if shared else [(), ()])
    ]
    assert generator.generate(rows, SAMPLING) == [
        generator.generate([row], SAMPLING)[0] for row in rows
    ]


def test_greedy_is_what_the_library_generates(
    generator: TransformersGenerator, jobs: list[Job]
) -> None:
    greedy = Sampling(temperature=0, max_new_tokens=30)
    for job, given in zip(jobs[:3], generator.generate(jobs[:3], greedy), strict=True):
        ids = torch.tensor([job.ids])
        with torch.no_grad():
            expected = generator.model.generate(
                ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=30
            )
        assert list(given.ids) == expected[0, len(job.ids) :].tolist()


def test_a_watch_looks_every_so_often_and_ends_what_it_names(
    generator: TransformersGenerator, jobs: list[Job]
) -> None:
    watch = LetGo({0: 8, 3: 16})
    made = generator.generate(jobs, SAMPLING, watch)
    whole = generator.generate(jobs, SAMPLING)
    assert [len(made[0].ids), len(made[3].ids)] == [8, 16]
    assert made[0].ended is made[3].ended is Ended.WATCH
    assert made[0].ids == whole[0].ids[:8]
    assert [made[each] for each in (1, 2, 4, 5)] == [whole[each] for each in (1, 2, 4, 5)]
    assert set(watch.seen[0]) == set(range(6)) and 0 not in watch.seen[1]


def test_a_generation_that_ends_by_itself_holds_its_end_token(
    generator: TransformersGenerator, jobs: list[Job]
) -> None:
    made = generator.generate(jobs, Sampling())
    stopped = [each for each in made if each.ended is Ended.STOP]
    assert stopped
    for each in stopped:
        assert each.ids[-1] in generator.end_ids
        assert not generator.end_ids & set(each.ids[:-1])


def test_a_full_context_gives_no_tokens(generator: TransformersGenerator) -> None:
    context = generator.model.config.max_position_embeddings
    full, nearly = Job((5,) * context), Job((5,) * (context - 3))
    made = generator.generate([full, nearly], Sampling(temperature=0))
    assert (made[0].ids, made[0].ended) == ((), Ended.LENGTH)
    assert len(made[1].ids) <= 3


def test_tokens_are_drawn_by_their_shares_and_never_from_the_tail() -> None:
    shares = torch.tensor([0.1, 0.55, 0.3, 0.05])
    draws = (torch.arange(1000) + 0.5) / 1000
    logits = shares.log().expand(1000, -1)
    chosen = _choose(logits, Sampling(temperature=1, top_p=1), draws)
    assert torch.bincount(chosen, minlength=4).tolist() == [100, 550, 300, 50]
    chosen = _choose(logits, Sampling(temperature=1, top_p=0.8), draws)
    assert set(chosen.tolist()) == {1, 2}
    chosen = _choose(logits, Sampling(temperature=1, top_p=1, top_k=1), draws)
    assert set(chosen.tolist()) == {1}
    ones = torch.tensor([0.0, 1.0 - 1e-9])
    assert _choose(logits[:2], Sampling(temperature=1, top_p=0.8), ones).tolist() == [1, 2]


@pytest.mark.parametrize(
    "wrong", [{"temperature": -1}, {"top_p": 0}, {"top_k": -1}, {"max_new_tokens": 0}]
)
def test_wrong_settings_are_refused_by_name(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Sampling(**wrong)
