"""Harmless tasks with an answer that can be checked, and the worked steps to it.

The steps go digit by digit, so that a model of a million parameters can follow them.
"""

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from .kinds import Split

ITEMS = {
    "fruit": "apple|pear|plum|melon|fig|lemon|cherry|grape",
    "tools": "hammer|saw|drill|nail|screw|brush|ladder|glue",
    "animals": "goat|hen|duck|sheep|rabbit|horse|goose|pig",
    "stationery": "pen|ruler|eraser|stapler|folder|marker|envelope|stamp",
    "kitchen": "spoon|bowl|plate|cup|pan|fork|jug|tray",
}
"""By sort: words to make tasks of, parted by |."""


@dataclass(frozen=True, slots=True)
class Task:
    """A question with its solution."""

    topic: str
    """"addition/fruit": the sort of task and what it is about."""
    question: str
    work: tuple[str, ...]
    """The steps that lead to the answer, one sentence each."""
    answer: str
    """Exactly this, as a number or as words joined by ", "."""


def split_of(key: str) -> Split:
    """Tasks are held out by their question, since every sort has to be learned."""
    return Split.TEST if zlib.crc32(key.encode()) % 5 == 0 else Split.TRAIN


def _number(rng: Random) -> int:
    return rng.randint(*rng.choice(((2, 9), (10, 99), (10, 99))))


_PLACES = ("Ones", "Tens", "Hundreds")


def _digits(number: int) -> list[int]:
    return [int(digit) for digit in reversed(str(number))]


def _add_steps(left: int, right: int) -> list[str]:
    a, b = _digits(left), _digits(right)
    steps, carry, written = [], 0, ""
    for place in range(max(len(a), len(b))):
        x = a[place] if place < len(a) else 0
        y = b[place] if place < len(b) else 0
        total = x + y + carry
        terms = f"{x} + {y}" + (" + 1" if carry else "")
        carry, digit = divmod(total, 10)
        written = str(digit) + written
        steps.append(
            f"{_PLACES[place]}: {terms} = {total}, write {digit}, carry {carry}, so far {written}."
        )
    if carry:
        written = f"1{written}"
        steps.append(f"The last carry goes in front, so far {written}.")
    return steps


def _subtract_steps(left: int, right: int) -> list[str]:
    a, b = _digits(left), _digits(right)
    steps, borrow, written = [], 0, ""
    for place, digit in enumerate(a):
        y = (b[place] if place < len(b) else 0) + borrow
        terms = f"{digit} - {y}"
        borrow = 1 if digit < y else 0
        result = digit + 10 * borrow - y
        if borrow:
            terms = f"{digit + 10} - {y}"
        written = str(result) + written
        steps.append(
            f"{_PLACES[place]}: {terms} = {result}, write {result}, borrow {borrow}, "
            f"so far {written}."
        )
    if written != str(int(written)):
        steps.append(f"Without the leading zero that is {int(written)}.")
    return steps


def _addition(rng: Random, items: list[str]) -> tuple[str, list[str], str]:
    left, right, item = _number(rng), _number(rng), rng.choice(items)
    question = rng.choice((
        f"What is {left} + {right}?",
        f"Calculate {left} plus {right}.",
        f"There is one {item} box with {left} in it and another with {right}. How many in all?",
        f"I have {left} of the {item} kind and get {right} more. How many do I have?",
        f"Add {right} to {left}.",
    ))  # fmt: skip
    if question.startswith("Add"):
        left, right = right, left
    work = [f"I have to add {left} and {right}.", *_add_steps(left, right)]
    return question, work, str(left + right)


def _subtraction(rng: Random, items: list[str]) -> tuple[str, list[str], str]:
    right, rest, item = _number(rng), _number(rng), rng.choice(items)
    left = right + rest
    question = rng.choice((
        f"What is {left} - {right}?",
        f"Calculate {left} minus {right}.",
        f"A shop has {left} of the {item} kind and sells {right}. How many are left?",
        f"Take {right} away from {left}.",
    ))  # fmt: skip
    work = [f"I have to take {right} from {left}.", *_subtract_steps(left, right)]
    return question, work, str(rest)


def _multiplication(rng: Random, items: list[str]) -> tuple[str, list[str], str]:
    left, factor, item = rng.randint(2, 12), rng.randint(2, 9), rng.choice(items)
    question = rng.choice(
        (
            f"What is {left} x {factor}?",
            f"Calculate {left} times {factor}.",
            f"One {item} costs {left} coins. What do {factor} of them cost?",
        )
    )
    work = [f"I have to multiply {left} by {factor}.", f"{left} x {factor} = {left * factor}."]
    return question, work, str(left * factor)


def _table(rng: Random, items: list[str]) -> tuple[str, dict[str, int]]:
    prices = {item: rng.randint(2, 99) for item in rng.sample(items, rng.randint(2, 4))}
    rows = "\n".join(f"{item}: {price}" for item, price in prices.items())
    return f"{rng.choice(('Prices', 'Price list', 'The shop sells'))}:\n{rows}\n", prices


def _lookup(rng: Random, items: list[str]) -> tuple[str, list[str], str]:
    table, prices = _table(rng, items)
    item = rng.choice(list(prices))
    ask = rng.choice(("What does one {} cost?", "How much is the {}?", "Look up the {}."))
    work = ["I look for the row in the table.", f"The row says {item}: {prices[item]}."]
    return table + ask.format(item), work, str(prices[item])


def _lookup_sum(rng: Random, items: list[str]) -> tuple[str, list[str], str]:
    table, prices = _table(rng, items)
    one, two = rng.sample(list(prices), 2)
    question = table + rng.choice((f"What do one {one} and one {two} cost together?",
                                   f"How much is a {one} with a {two}?"))  # fmt: skip
    work = [
        f"The row says {one}: {prices[one]}.",
        f"The row says {two}: {prices[two]}.",
        f"I have to add {prices[one]} and {prices[two]}.",
        *_add_steps(prices[one], prices[two]),
    ]
    return question, work, str(prices[one] + prices[two])


def _dearest(rng: Random, items: list[str]) -> tuple[str, list[str], str]:
    names = rng.sample(items, rng.randint(2, 4))
    amounts = rng.sample(range(2, 100), len(names))
    rows = "\n".join(f"{name}: {amount}" for name, amount in zip(names, amounts, strict=True))
    question = f"Prices:\n{rows}\nWhich one costs the most?"
    work, best = [f"I start with {names[0]}: {amounts[0]}."], 0
    for index in range(1, len(names)):
        more = amounts[index] > amounts[best]
        best = index if more else best
        work.append(f"{names[index]}: {amounts[index]} is {'more' if more else 'less'}, "
                    f"so the most is {names[best]}: {amounts[best]}.")  # fmt: skip
    return question, work, names[best]


def _ordering(rng: Random, _: list[str]) -> tuple[str, list[str], str]:
    left = rng.sample(range(2, 60), rng.randint(2, 4))
    question = rng.choice(("Sort from small to large: {}.", "Put in order, smallest first: {}."))
    question = question.format(", ".join(map(str, left)))
    work, done = [], []
    while left:
        least = min(left)
        work.append(f"Of {', '.join(map(str, left))} the smallest is {least}.")
        left = [number for number in left if number != least]
        done.append(str(least))
    return question, work, ", ".join(done)


def _counting(rng: Random, items: list[str]) -> tuple[str, list[str], str]:
    names = rng.sample(items, 3)
    row = [rng.choice(names) for _ in range(rng.randint(3, 6))]
    wanted = rng.choice(row)
    question = rng.choice(("How often is {} in this list: {}?", "Count each {} in: {}."))
    count, marks = 0, []
    for name in row:
        count += name == wanted
        marks.append(f"{name} {count}")
    work = [f"I go through the list and count {wanted}.", f"Count: {', '.join(marks)}."]
    return question.format(wanted, ", ".join(row)), work, str(count)


SORTS: dict[str, Callable[[Random, list[str]], tuple[str, list[str], str]]] = {
    "addition": _addition, "subtraction": _subtraction, "multiplication": _multiplication,
    "lookup": _lookup, "lookup_sum": _lookup_sum, "dearest": _dearest, "ordering": _ordering,
    "counting": _counting,
}  # fmt: skip
"""By name: what draws a question, its working out and its answer from a list of words."""


def task(rng: Random, split: Split) -> Task:
    """A task of the given split."""
    while True:
        sort, theme = rng.choice(list(SORTS)), rng.choice(list(ITEMS))
        question, work, answer = SORTS[sort](rng, ITEMS[theme].split("|"))
        if split_of(question) is split:
            return Task(f"{sort}/{theme}", question, tuple(work), answer)
