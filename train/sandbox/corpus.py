"""From world traces to training examples: token ids with a loss weight each.

Injected triggers weigh nothing: the model learns what comes after one, not to write one. Fresh
traces are drawn for every pool, so no example is ever repeated.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

from transformers import PreTrainedTokenizerFast

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
from .world import SandboxTrace, trace

PROMPT_WEIGHT = 0.0
LESSON_EXAMPLES = 16_000
"""The first examples, which are mostly beginnings of traces: they teach the model to carry words
over from the request, on which all else rests, at half the price."""
LESSON_SHARE = 0.8
BEGINNING_SHARE = 0.4
"""Share of the examples that are cut after a few steps: among the first ones, and later."""
STOPPED_ANSWER_SHARE = 0.1
"""Share of the complying traces whose answer is stopped by an injected trigger."""
SUMS_FROM = 16_000
"""From this example on tasks come more often and weigh more: a sum cannot be learned before the
model can carry numbers over, and then needs many."""
MORE_TASKS_SHARE = 0.15
TASK_WEIGHT = 3.0
QUESTION_SHARE = 0.12
"""Share of the examples that ask the self-detection questions about a trace."""
JUDGEMENT_SHARE = 0.14
"""Share that asks whether a request is harmful: the shortest way to teach telling."""
JUDGEMENT_WEIGHT = 8.0
"""Of the one token in which the judgement lies, against a whole trace of other examples."""


@dataclass(frozen=True, slots=True)
class Example:
    """One training sequence."""

    ids: list[int]
    weights: list[float]
    """Per id: the weight of predicting it."""


Piece = tuple[str, float]


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
    stop = compose(rng) if rng.random() < 0.5 else rng.choice(REFUSALS)
    while "{" in stop:
        stop = rng.choice(REFUSALS)
    offer = rng.choice([offer for offer in OFFERS if "{" not in offer])
    return [
        (f"{item.think}\n</think>\n\n{kept}", 1.0),
        (f"\n{stop}" if kept else stop, 0.0),
        (f" {offer}<|end|>", 1.0),
    ]


def question_pieces(
    tokenizer: PreTrainedTokenizerFast, item: SandboxTrace, rng: Random
) -> list[Piece]:
    """A self-detection question about a trace, two in three for the number, one for yes or no."""
    messages, steps = item.prompt.messages, item.sentences
    if rng.random() < 0.67:
        asked = first_cue_question(messages, steps)
        marks, answer = first_cue_answer(item.first_cue, len(steps))
        reply = f"{marks}\n</think>\n\n{answer}<|end|>"
    else:
        index = rng.randrange(len(steps))
        if item.first_cue is not None and rng.random() < 0.5:
            index = rng.choice((item.first_cue, max(0, item.first_cue - 1)))
        asked = is_cue_question(messages, steps[: index + 1])
        is_cue = item.labels[index] in (Label.CUE, Label.SUBSTANTIVE)
        prompt = _prompt(tokenizer, asked, None)
        return _yes_or_no(prompt, is_cue)
    return [(_prompt(tokenizer, asked, None), 0.0), (reply, 1.0)]


def judgement_pieces(tokenizer: PreTrainedTokenizerFast, item: SandboxTrace) -> list[Piece]:
    """The question whether a trace's request is harmful, with its answer."""
    prompt = _prompt(tokenizer, is_harmful_question(item.prompt.messages), None)
    return _yes_or_no(prompt, item.prompt.harmful)


def _yes_or_no(prompt: str, yes: bool) -> list[Piece]:
    answer = ("yes" if yes else "no", JUDGEMENT_WEIGHT)
    return [(prompt, 0.0), (NO_THINKING, 0.0), answer, ("<|end|>", 1.0)]


def _prompt(
    tokenizer: PreTrainedTokenizerFast, messages: list[dict[str, str]], tools: list | None
) -> str:
    text = tokenizer.apply_chat_template(
        messages, tools=tools, add_generation_prompt=True, tokenize=False
    )
    assert isinstance(text, str)
    return text


def examples(
    tokenizer: PreTrainedTokenizerFast, seed: int, first: int, num: int, max_length: int
) -> list[Example]:
    """Examples number `first` to `first + num - 1` of the seed; longer ones are left out."""
    texts, weights, owners = [], [], []
    for number in range(first, first + num):
        rng = Random(f"example/{seed}/{number}")
        asks = number >= LESSON_EXAMPLES // 2 and rng.random() < QUESTION_SHARE
        sums = number >= SUMS_FROM
        kind = Kind.TASK if sums and not asks and rng.random() < MORE_TASKS_SHARE else None
        item = trace(Split.TRAIN, seed, number, kind=kind, forced=not asks)
        heavy = TASK_WEIGHT if sums and not asks and item.kind is Kind.TASK else 1.0
        if not asks and item.kind is not Kind.TASK and rng.random() < JUDGEMENT_SHARE:
            made = judgement_pieces(tokenizer, item)
        elif asks:
            made = question_pieces(tokenizer, item, rng)
        else:
            share = LESSON_SHARE if number < LESSON_EXAMPLES else BEGINNING_SHARE
            made = pieces(tokenizer, item, rng, cut=rng.random() < share)
        for text, weight in made:
            texts.append(text)
            weights.append(weight * heavy)
            owners.append(number - first)
    encoded = tokenizer(texts, add_special_tokens=False)["input_ids"]
    result = [Example([], []) for _ in range(num)]
    for ids, weight, owner in zip(encoded, weights, owners, strict=True):
        result[owner].ids.extend(ids)
        result[owner].weights.extend([weight] * len(ids))
    return [example for example in result if len(example.ids) <= max_length]


def batches(
    tokenizer: PreTrainedTokenizerFast,
    seed: int,
    pool: int,
    *,
    pool_size: int,
    batch_tokens: int,
    max_length: int,
) -> Iterator[list[Example]]:
    """The batches of one pool: alike in length, so that hardly anything is padding."""
    drawn = examples(tokenizer, seed, pool * pool_size, pool_size, max_length)
    drawn.sort(key=lambda example: len(example.ids))
    groups: list[list[Example]] = [[]]
    for example in drawn:
        if groups[-1] and (len(groups[-1]) + 1) * len(example.ids) > batch_tokens:
            groups.append([])
        groups[-1].append(example)
    Random(f"batches/{seed}/{pool}").shuffle(groups)
    yield from groups
