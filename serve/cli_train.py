"""`rerail train`: rounds of self-improvement, and training and gate by themselves."""

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from ..train.gate import GateLimits
from ..train.preference_config import Arm, PreferenceConfig
from ..train.rounds_config import JudgeName, RoundsConfig
from .cli_errors import CommandFailed, UsageError, counted, options_checked, say
from .extras import need

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..guard import Pair


def rounds(
    *,
    out: Path,
    sandbox: bool = False,
    quick: bool = False,
    run: Annotated[RoundsConfig, Parameter(name="*")] = RoundsConfig(),  # noqa: B008  (frozen)
) -> None:
    """Rounds of rollouts, interventions, pairs, preference training and gate.

    The model finds its own first compliance cues; what it learns is promoted only if harm falls and
    everything else stays inside the gate's limits. A run that was stopped, in whatever way, goes on
    where it was when the same command is given again.

    Examples

        rerail train rounds --sandbox --quick --out rounds
        rerail train rounds --sandbox --rounds 3 --seed 1 --out rounds-1
        rerail train rounds --model ./my-model --prompts prompts.jsonl --rounds 3 --out rounds
        rerail train rounds --sandbox --detector exact --training.beta 0.2 --out compared

    Parameters
    ----------
    out
        The run's folder: a folder a round, `report.md`, plots.
    sandbox
        The embedded model and its prompts, with settings that suit it in every place that is not
        given (rerail.train.sandbox_settings).
    quick
        One round with a small budget of prompts.
    """
    if sandbox:
        if run.model != "sandbox" or not run.on_sandbox_world:
            raise UsageError("--sandbox takes the embedded model and prompts: drop the others")
    elif run.model == "sandbox" or run.prompts == RoundsConfig().prompts:
        raise UsageError("give --model and --prompts, or --sandbox for the embedded ones")
    with options_checked():
        run = run.quick() if quick else run
    need("train")
    from rich.console import Console

    from ..train.round_report import round_table
    from ..train.rounds import run_rounds

    set_up(run.model)
    reports = _said(lambda: run_rounds(run, out, told=say))
    Console().print(round_table(reports[0].before, reports))
    say(f"{out / 'report.md'} has the table and the plots")


def preference(
    *,
    pairs: Annotated[tuple[Path, ...], Parameter(consume_multiple=True)],
    out: Path,
    merged: bool = False,
    full: bool = False,
    training: Annotated[PreferenceConfig, Parameter(name="*")] = PreferenceConfig(),  # noqa: B008
) -> None:
    """Train a model on preference pairs, from their exact token ids.

    Flags have the names that they have in TRL. For several processes or devices put
    `accelerate launch -m rerail.serve.cli_train_process` in its place, with the same flags.

    Examples

        rerail train preference --model_name_or_path sandbox --pairs pairs.jsonl --out trained
        rerail train preference --model_name_or_path ./my-model --pairs a.jsonl b.parquet \\
            --out trained --lora_r 32 --beta 0.05 --learning_rate 1e-4 --bf16
        rerail train preference --model_name_or_path sandbox --pairs pairs.jsonl --arm whole \\
            --out whole

    Parameters
    ----------
    pairs
        Files of pairs, JSONL or parquet (`rerail train pairs`, `rerail pairs export`).
    out
        The run's folder; `adapter` in it is the result.
    merged
        Write `merged` too: the model with the adapter merged in.
    full
        Train all weights instead of an adapter.
    """
    need("train")
    if full:
        training = replace(training, use_peft=False)
    from ..train.preference import in_percent, train_preference
    from ..train.preference_output import save_merged

    for path in pairs:
        if not path.is_file():
            raise FileNotFoundError(2, "there is no such file", str(path))
    set_up(training.model_name_or_path)
    if training.arm is Arm.GRPO:
        result = _said(lambda: train_preference(training, _pairs(pairs), out))
    else:
        from ..guard.progress import progress

        with progress("Training", 100) as advance:
            result = _said(
                lambda: train_preference(training, _pairs(pairs), out, in_percent(advance))
            )
    if os.environ.get("RANK", "0") != "0":
        return  # of several processes the first speaks, and writes what is merged
    for why, number in result.left_out.items():
        say(f"{counted(number, 'pair')} left out: {why}")
    say(
        f"{counted(result.num_pairs, 'pair')}, {counted(result.num_steps, 'step')}, "
        f"{result.pairs_per_s:.1f} pairs/s: {result.trained}"
    )
    if merged and training.use_peft:
        model, target = training.model_name_or_path, out / "merged"
        save_merged(model, result.trained, target, config=training, record=result.record)
        say(f"merged into {target}")


def gate(
    *,
    base: str = "sandbox",
    model: str | None = None,
    adapter: Path | None = None,
    before: str | None = None,
    prompts: str = "sandbox",
    judge: JudgeName | None = None,
    num: int = 100,
    out: Path | None = None,
    seed: int = 0,
    limits: Annotated[GateLimits, Parameter(name="*")] = GateLimits(),  # noqa: B008
) -> int:
    """Measure a trained model on held-out prompts and say whether it may be promoted.

    The exit code is 0 for a model that may, 3 for one that may not.

    Examples

        rerail train gate --base sandbox --adapter trained/adapter
        rerail train gate --base ./my-model --model trained/merged --prompts held-out.jsonl

    Parameters
    ----------
    base
        The model that training began with.
    model
        The trained model, merged.
    adapter
        The trained adapter over `base`, in place of `model`.
    before
        The model of the round before, if that is not `base`: harm has to fall against it.
    prompts
        Held-out prompts, harmful and harmless: a file, a hub data set, or `sandbox`.
    judge
        `exact` (sandbox prompts only, and their default) or `student`.
    num
        Prompts of each kind.
    out
        A file for the verdict and all figures, as JSON.
    seed
        Of the sampling.
    """
    if (model is None) == (adapter is None):
        raise UsageError("name the trained model: either --model or --adapter")
    need("train")
    with options_checked():
        run = RoundsConfig(
            model=base,
            prompts="sandbox:train" if prompts.partition(":")[0] == "sandbox" else prompts,
            gate_prompts=prompts,
            gate_judge=judge,
            num_gate=num,
            seed=seed,
            limits=limits,
        )
    from rich.console import Console

    from ..distill.run_folder import write_record
    from ..train.gate_run import gate_table, run_gate
    from ..train.weights import Weights

    set_up(base)
    trained = Weights(base, adapter) if model is None else Weights(model)
    then = None if before is None else Weights(before)
    found = _said(lambda: run_gate(run, trained, before=then, told=say))
    Console().print(gate_table(found))
    if out is not None:
        write_record(out, found.to_row())
    verdict = found.verdict
    say(f"{'may be promoted' if verdict.promoted else 'rejected'}: {verdict.reason}")
    return 0 if verdict.promoted else 3


def _pairs(paths: tuple[Path, ...]) -> "Iterator[Pair]":
    from ..guard.pair_files import read_pairs

    for path in paths:
        yield from read_pairs(path)


def set_up(model: str) -> None:
    """Quiet libraries; one thread for the small model, which more only slow down."""
    import logging
    import os

    import torch
    from transformers.utils import logging as noise

    noise.set_verbosity_error()
    noise.disable_progress_bar()
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)
    if model == "sandbox" and "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(min(2, torch.get_num_threads()))


def _said(work: Any) -> Any:
    """Memory that does not suffice, as a sentence."""
    import torch

    try:
        return work()
    except torch.OutOfMemoryError as error:
        raise CommandFailed(
            "the device's memory is full: lower per_device_train_batch_size or batch_size, or set "
            "gradient_checkpointing"
        ) from error
