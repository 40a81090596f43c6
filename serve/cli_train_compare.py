"""`rerail train arms` and `rerail train table`: what to compare a run with, and runs together."""

import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from ..train.preference_config import Arm
from ..train.rounds_config import RoundsConfig
from .extras import need


def arms(
    *,
    pairs: Annotated[tuple[Path, ...], Parameter(consume_multiple=True)],
    out: Path,
    arm: Annotated[tuple[Arm, ...], Parameter(consume_multiple=True)] = tuple(Arm),
    run: Annotated[RoundsConfig, Parameter(name="*")] = RoundsConfig(),  # noqa: B008  (frozen)
) -> None:
    """Train every arm on the same pairs and measure it: divergence only, whole responses, SFT,
    GRPO. The embedded model gets the settings that suit it wherever none are given.

    Examples

        rerail train rounds --sandbox --rounds 1 --out run
        rerail train arms --pairs run/round-1/pairs.jsonl --out arms

    Parameters
    ----------
    pairs
        Files of pairs.
    out
        The comparison's folder: one folder an arm.
    arm
        Only these arms.
    """
    need("train")
    from rich.console import Console

    from ..guard.pair_files import read_pairs
    from ..train.arms import arms_table, compare_arms
    from .cli_errors import say
    from .cli_train import set_up

    set_up(run.model)
    found = [pair for path in pairs for pair in read_pairs(path)]
    base, results = compare_arms(run, found, out, arms=arm, told=say)
    Console().print(arms_table(base, results))


def table(*folder: Path) -> None:
    """The mean over several runs of rounds, as a Markdown table.

    Examples

        for seed in 0 1 2; do rerail train rounds --sandbox --seed $seed --out rounds-$seed; done
        rerail train table rounds-0 rounds-1 rounds-2

    Parameters
    ----------
    folder
        The runs' folders.
    """
    need("train")
    from ..train.rounds_table import runs_table
    from .cli_errors import UsageError

    if not folder:
        raise UsageError("name the folders of finished runs")
    sys.stdout.write(runs_table(folder) + "\n")
