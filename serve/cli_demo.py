"""`rerail demo`: the guard at work, on the embedded model."""

import sys
import time
from pathlib import Path
from shutil import which
from typing import TYPE_CHECKING

from ..guard import GuardConfig
from .cli_errors import FAILURE
from .options import ModelChoice, Storing

if TYPE_CHECKING:
    from rich.console import Console

    from ..guard.store import Store


def demo(
    *,
    seed: int = 1,
    detector: str = "student",
    storing: Storing = Storing(),  # noqa: B008  (frozen: sharing it is harmless)
) -> int:
    """Watch the embedded model being caught at its first compliance cue, and put right.

    A few requests (harmful ones, harmless ones, and some that only look harmful) are answered
    twice, without the guard and with it. The left column is the model alone; in the right one a
    step that shows it going along with harm is struck through, and a safety trigger takes its
    place. What happened on the right is kept in the store, with the pairs to learn from.

    Examples

        rerail demo
        rerail demo --seed 7 --no-store

    Parameters
    ----------
    seed
        Seed for requests, sampling and triggers.
    detector
        `student` (the one that comes with rerail), `keywords`, the folder of a student, or
        `module:name`, what makes one of your own.
    """
    began = time.monotonic()
    from rich.console import Console

    console = Console()
    console.print(
        "[bold]rerail[/] puts a reasoning model's train of thought back on the rails while it is "
        "still thinking."
    )
    console.print("Loading the embedded model and the guard ...", style="dim")
    with storing.recorder() as (recorder, store):
        from ..guard import Guard, GuardedModel
        from .demo import compare, requests
        from .demo_summary import show_summary
        from .guards import new_guard
        from .models import load_weights

        guard = new_guard(
            detector, GuardConfig(seed=seed), recorder, store, model=ModelChoice().model
        )
        weights = load_weights(ModelChoice())
        unguarded = GuardedModel(*weights, guard=Guard(None))
        guarded = GuardedModel(*weights, guard=guard)
        compared = []
        try:
            for number, prompt in enumerate(requests(seed)):
                compared.append(compare(console, prompt, unguarded, guarded, seed + number))
        finally:
            if compared:
                show_summary(console, compared, time.monotonic() - began)
        _say_what_next(console, storing, store)
        return FAILURE if recorder.num_lost else 0


def _say_what_next(console: "Console", storing: Storing, store: "Store | None") -> None:
    from rich.text import Text

    command = _command()
    if store is not None:
        flag = f" --store {store.name}" if storing.store is not None else ""
        console.print(Text(f"\nThe traces and their preference pairs are in {store.name}", "bold"))
        console.print(
            Text(
                f"  {command} trace list --action intervene{flag}\n"
                f"  {command} trace show{flag}\n"
                f"  {command} pairs export --out pairs.jsonl{flag}"
            )
        )
    console.print(Text("\nYour own model, behind the same guard", "bold"))
    console.print(
        Text(
            "  from rerail.guard import GuardedModel\n"
            '  model = GuardedModel.from_pretrained("your/model")'
            "  # then model.generate, chat or stream\n"
            f'  {command} run --model your/model "How do I kill a Python process?"'
        )
    )


def _command() -> str:
    """How the reader can call this program again."""
    called = Path(sys.argv[0])
    found = which("rerail")
    if called.name != "rerail" or (found and Path(found).resolve() == called.resolve()):
        return "rerail"
    try:
        return str(called.resolve().relative_to(Path.cwd()))
    except ValueError:
        return str(called)
