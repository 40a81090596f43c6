"""From world traces to training examples: token ids with a loss weight each.

Every step of the training sees three groups: judgements (a request or a step, answered yes or no),
tasks, and whole traces. Each group counts the same, however few tokens carry its loss: mixed into
one batch, the single token of a judgement is never heard among thousands of a trace's.

Injected triggers weigh nothing: the model learns what comes after one, not to write one. Fresh
examples are drawn for every pool, so none is ever repeated.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import cycle
from random import Random
from typing import Any

from transformers import PreTrainedTokenizerFast

from ...guard.trigger_pool import BUILT_IN
from .answers import OFFERS, REFUSALS
from .kinds import Course, Kind, Label, Split
from .questions import (
    NO_THINKING,
    first_cue_answer,
    first_cue_question,
    is_cue_question,
    is_harmful_question,
)
from .safety import compose
from .world import SandboxTrace, prompt, trace

LESSON_POOLS = 4
"""The first pools, in which judgements and tasks have most of the tokens and traces are mostly cut
after a few steps: telling, reckoning and carrying words over are what all else rests on."""
FINISH_POOLS = 25
"""From this pool on sums are drilled: digits weigh more, and tasks have more of the tokens."""
SHARES = (0.2, 0.25, 0.55)
"""Of a step's tokens: judgements, tasks, traces."""

LESSON_SHARES = (0.34, 0.36, 0.3)
"""The same in the first pools."""

FINISH_SHARES = (0.16, 0.34, 0.5)
"""The same from `FINISH_POOLS` on."""

DIGIT_WEIGHT = 5.0
"""Of the digits in a task's work, against its other tokens."""
MORE_HARMLESS_SHARE = 0.15
"""Of the last traces: harmless ones on top of the world's own share, so that a request of which the
model is not sure is rather helped with."""
BEGINNING_SHARE = 0.3
"""Share of the traces that are cut after a few steps."""

LESSON_BEGINNING_SHARE = 0.8
"""The same in the first pools."""

PROMPT_WEIGHT = 0.1
"""Of a trace's prompt; that of a question weighs nothing."""
STOPPED_ANSWER_SHARE = 0.1
"""Share of the complying traces whose answer is stopped by an injected trigger."""
ANSWER_TRIGGERS = tuple(trigger.text for trigger in BUILT_IN if trigger.in_answer)
"""The guard's triggers that stop an answer."""

QUESTION_SHARE = 0.16
"""Share of the traces that are asked about: which step is the first cue?"""
STEP_SHARE = 0.25
"""Share of the judgements that are about a step of a trace; the others are about a request."""


@dataclass(frozen=True, slots=True)
class Example:
    """One training sequence."""

    ids: list[int]
    weights: list[float]
    """Per id: the weight of predicting it."""


Piece = tuple[str, float]
"""A text and the weight of its tokens' loss."""


def pieces(
    tokenizer: PreTrainedTokenizerFast, item: SandboxTrace, rng: Random, *, cut: bool = False
) -> list[Piece]:
    """A trace as text pieces with weights; each is tokenised by itself. With `cut` it breaks off.

    An injected trigger is a piece of its own, as in a guard that keeps ids: with the gap before it,
    and in half of the cases with the gap after it.
    """
    prompt = _prompt(tokenizer, list(item.prompt.messages), list(item.prompt.tools) or None)
    result: list[Piece] = [(prompt, PROMPT_WEIGHT)]
    if item.course is Course.COMPLY and not cut and rng.random() < STOPPED_ANSWER_SHARE:
        return [*result, *_stopped_answer(item, rng)]
    cursor, num_steps = 0, rng.randint(1, 6)
    if any(item.forced):
        indices = [index for index, forced in enumerate(item.forced) if forced]
        first, last = item.steps[indices[0]][0], item.steps[indices[-1]][1]
        start = len(item.think[:first].rstrip())
        end = last
        if rng.random() < 0.5:
            rest = item.think[last:]
            end = last + len(rest) - len(rest.lstrip())
        result += [(item.think[:start], 1.0), (item.think[start:end], 0.0)]
        cursor = end
        num_steps = indices[-1] + 1 + rng.randint(1, 3)
    if cut and num_steps < len(item.steps) and item.kind is not Kind.TASK:
        result.append((item.think[cursor : item.steps[num_steps - 1][1]], 1.0))
    else:
        result.append((f"{item.think[cursor:]}\n</think>\n\n{item.answer}<|end|>", 1.0))
    return [piece for piece in result if piece[0]]


def _stopped_answer(item: SandboxTrace, rng: Random) -> list[Piece]:
    """A harmful answer that an injected sentence turns into a refusal."""
    lines = item.answer.splitlines()
    kept = "\n".join(lines[: rng.choice((0, 0, 1, 1, 2))]) if "<tool_call>" not in lines else ""
    stop = rng.choice((compose(rng), rng.choice(REFUSALS), rng.choice(ANSWER_TRIGGERS)))
    while "{" in stop:
        stop = rng.choice(REFUSALS)
    offer = rng.choice([offer for offer in OFFERS if "{" not in offer])
    return [
        (f"{item.think}\n</think>\n\n{kept}", 1.0),
        (f"\n{stop}" if kept else stop, 0.0),
        (f" {offer}<|end|>", 1.0),
    ]


def question_pieces(tokenizer: PreTrainedTokenizerFast, item: SandboxTrace) -> list[Piece]:
    """The question for the number of a trace's first cue, with its answer."""
    asked = first_cue_question(item.prompt.messages, item.sentences)
    marks, answer = first_cue_answer(item.first_cue, len(item.steps))
    reply = f"{marks}\n</think>\n\n{answer}<|end|>"
    return [(_prompt(tokenizer, asked, None), 0.0), (reply, 1.0)]


def judgement_pieces(
    tokenizer: PreTrainedTokenizerFast, seed: int, number: int, rng: Random
) -> list[Piece]:
    """The question whether a request harms, or a step goes along with harm, with its answer."""
    if rng.random() >= STEP_SHARE:
        asked = prompt(Split.TRAIN, seed, number)
        question = _prompt(tokenizer, is_harmful_question(asked.messages), None)
        return _yes_or_no(question, asked.harmful)
    item = trace(Split.TRAIN, seed, number)
    steps = item.sentences
    index = rng.randrange(len(steps))
    if item.first_cue is not None and rng.random() < 0.5:
        index = rng.choice((item.first_cue, max(0, item.first_cue - 1)))
    asked_about = is_cue_question(item.prompt.messages, steps[: index + 1])
    is_cue = item.labels[index] in (Label.CUE, Label.SUBSTANTIVE)
    return _yes_or_no(_prompt(tokenizer, asked_about, None), is_cue)


def _yes_or_no(question: str, yes: bool) -> list[Piece]:
    answer = ("yes" if yes else "no", 1.0)
    return [(question, 0.0), (NO_THINKING, 0.0), answer, ("<|end|>", 0.1)]


def _prompt(
    tokenizer: PreTrainedTokenizerFast,
    messages: list[dict[str, str]],
    tools: list[Any] | None,
) -> str:
    text = tokenizer.apply_chat_template(
        messages, tools=tools, add_generation_prompt=True, tokenize=False
    )
    assert isinstance(text, str)
    return text


Drawing = Callable[[int, Random], list[Piece]]
"""An example's pieces from its number and randomness."""


def drawings(
    tokenizer: PreTrainedTokenizerFast, seed: int, *, lesson: bool, finish: bool
) -> tuple[Drawing, Drawing, Drawing]:
    """What draws judgements, tasks and traces."""
    beginning = LESSON_BEGINNING_SHARE if lesson else BEGINNING_SHARE

    def judgement(number: int, rng: Random) -> list[Piece]:
        return judgement_pieces(tokenizer, seed, number, rng)

    def task(number: int, rng: Random) -> list[Piece]:
        return pieces(tokenizer, trace(Split.TRAIN, seed, number, kind=Kind.TASK), rng)

    def whole(number: int, rng: Random) -> list[Piece]:
        asks = not lesson and rng.random() < QUESTION_SHARE
        harmless = finish and not asks and rng.random() < MORE_HARMLESS_SHARE
        kind = Kind.HARMLESS if harmless else None
        item = trace(Split.TRAIN, seed, number, kind=kind, forced=not asks)
        if asks and item.kind is not Kind.TASK:
            return question_pieces(tokenizer, item)
        return pieces(tokenizer, item, rng, cut=rng.random() < beginning)

    return judgement, task, whole


def examples(
    tokenizer: PreTrainedTokenizerFast,
    name: str,
    draw: Drawing,
    numbers: range,
    max_length: int,
    heavy: frozenset[int] = frozenset(),
) -> list[Example]:
    """The examples with these numbers; longer ones are left out. `name` seeds their randomness.

    Ids in `heavy` weigh `DIGIT_WEIGHT` times as much.
    """
    drawn = [draw(number, Random(f"{name}/{number}")) for number in numbers]
    texts = [text for made in drawn for text, _ in made]
    encoded = iter(tokenizer(texts, add_special_tokens=False)["input_ids"])
    result = []
    for made in drawn:
        example = Example([], [])
        for _, weight in made:
            ids = next(encoded)
            example.ids.extend(ids)
            example.weights.extend(weight * (DIGIT_WEIGHT if i in heavy else 1.0) for i in ids)
        if len(example.ids) <= max_length:
            result.append(example)
    return result


def batches(
    tokenizer: PreTrainedTokenizerFast,
    seed: int,
    pool: int,
    *,
    pool_size: int,
    batch_tokens: int,
    max_length: int,
) -> Iterator[tuple[list[Example], ...]]:
    """The steps of one pool: each a group of judgements, one of tasks and one of traces."""
    lesson, finish = pool < LESSON_POOLS, pool >= FINISH_POOLS
    shares = LESSON_SHARES if lesson else FINISH_SHARES if finish else SHARES
    digits = frozenset(
        number for token, number in tokenizer.get_vocab().items() if token.lstrip("Ġ").isdigit()
    )
    numbers = range(pool * pool_size, (pool + 1) * pool_size)
    kinds = []
    _, task, _ = drawn_by = drawings(tokenizer, seed, lesson=lesson, finish=finish)
    for index, draw in enumerate(drawn_by):
        name = f"{seed}/{index}"
        heavy = digits if finish and draw is task else frozenset()
        drawn = examples(tokenizer, name, draw, numbers, max_length, heavy)
        groups = _groups(drawn, max(max_length, int(shares[index] * batch_tokens)))
        Random(f"batches/{name}/{pool}").shuffle(groups)
        kinds.append(groups)
    # As many steps as the groups of traces make; the others have more, or go round.
    judgements, tasks, traces = kinds
    yield from zip(cycle(judgements), cycle(tasks), traces, strict=False)


def _groups(drawn: list[Example], num_tokens: int) -> list[list[Example]]:
    """Groups alike in length, so that hardly anything is padding."""
    groups: list[list[Example]] = [[]]
    for example in sorted(drawn, key=lambda example: len(example.ids)):
        if groups[-1] and (len(groups[-1]) + 1) * len(example.ids) > num_tokens:
            groups.append([])
        groups[-1].append(example)
    return groups
