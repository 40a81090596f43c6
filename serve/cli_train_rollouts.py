"""`rerail train rollouts`, `rerail train triggers`: what pairs are made of, and what helps it."""

from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from ..guard.upstream_settings import UpstreamSettings
from ..train.rollout_config import RolloutConfig
from .cli_errors import UsageError, counted, say
from .extras import need
from .options import ModelChoice
from .rollout_engines import EngineName, open_engine
from .rollout_options import JudgingChoice, PromptChoice, TriggerChoice, rollout_tools


def rollouts(
    *,
    out: Path,
    paper: bool = False,
    compare: bool = False,
    batch_size: int = 64,
    engine: EngineName = "auto",
    model: ModelChoice = ModelChoice(),  # noqa: B008  (frozen: sharing it is harmless)
    upstream: Annotated[UpstreamSettings, Parameter(name="*")] = UpstreamSettings(),  # noqa: B008
    asked: PromptChoice = PromptChoice(),  # noqa: B008
    judging: JudgingChoice = JudgingChoice(),  # noqa: B008
    chosen: TriggerChoice = TriggerChoice(),  # noqa: B008
    run: Annotated[RolloutConfig, Parameter(name="*")] = RolloutConfig(),  # noqa: B008
) -> None:
    """Roll prompts out: original, first cue, trigger in its place, continuation, verdict.

    A run that was stopped, in whatever way, goes on with the next prompt when the same command is
    given again. `rerail train pairs` makes pairs of the result.

    Examples

        rerail train rollouts --out rollouts
        rerail train rollouts --model ./my-model --prompts prompts.jsonl --out rollouts \\
            --judge qwen3guard --judge-model Qwen/Qwen3Guard-Gen-0.6B
        rerail train rollouts --num 100 --kind harmful --detector exact --compare --out compared

    Parameters
    ----------
    out
        The run's folder: `rollouts.jsonl` and `report.json`.
    paper
        The source's procedure: six triggers a prompt, every generation to its end.
    compare
        Roll out a second time by the source's procedure, and say what a pair costs in both.
    batch_size
        Generations at once (transformers).
    engine
        What runs the model: `transformers` or `vllm` in this process, or `upstream`, the server at
        the address that `--model` gives; `auto` takes the upstream for an address.
    """
    need("train")
    from rich.console import Console

    from ..train.rollout_run import run_rollouts

    if paper and compare:
        raise UsageError("--compare rolls out both ways: leave --paper out")
    judging.check(asked)
    prompts = asked.load(run.seed)
    whole = replace(run, num_triggers=6).whole()
    ways = {out: whole if paper else run}
    if compare:
        ways = {out / "thrifty": run, out / "paper": whole}
    opened = open_engine(engine, model, upstream, batch_size)
    costs: list[float | None] = []
    with rollout_tools(opened, asked, judging, chosen) as tools:
        for folder, settings in ways.items():
            with _shown("Rolling out", len(prompts), folder) as advance:
                report = run_rollouts(
                    folder, prompts, tools, settings, model=opened.identity, progress=advance
                )
            Console().print(report.table())
            costs.append(report.harmful.tokens_per_pair)
    if compare and costs[0] and costs[1]:
        times = costs[1] / costs[0]
        say(f"a pair costs {times:.1f} times fewer generated tokens than by the source's procedure")
    say(f"pairs of them: `rerail train pairs --rollouts {next(iter(ways))} --out pairs.jsonl`")


def triggers(
    *,
    out: Path,
    test_prompts: str = "sandbox:test",
    num_test: int = 60,
    batch_size: int = 64,
    engine: EngineName = "auto",
    model: ModelChoice = ModelChoice(),  # noqa: B008
    upstream: Annotated[UpstreamSettings, Parameter(name="*")] = UpstreamSettings(),  # noqa: B008
    asked: PromptChoice = PromptChoice(),  # noqa: B008
    judging: JudgingChoice = JudgingChoice(),  # noqa: B008
    run: Annotated[RolloutConfig, Parameter(name="*")] = RolloutConfig(),  # noqa: B008
) -> None:
    """Let the model write and mine triggers, keep those that earn it, and compare with the pool.

    Examples

        rerail train triggers --num 80 --out triggers
        rerail run --triggers triggers/triggers.jsonl --trigger-sampling adaptive "..."

    Parameters
    ----------
    out
        The folder for `triggers.jsonl` and `report.json`.
    test_prompts
        Prompts to compare on, other ones than `--prompts`.
    num_test
        How many of them.
    batch_size
        Generations at once (transformers).
    engine
        What runs the model, as for `rerail train rollouts`.
    """
    need("train")
    from rich.console import Console

    from ..distill.run_folder import write_record
    from ..train.prompts import load_prompts
    from ..train.trigger_growth import compare, strategy_table, to_row

    judging.check(asked)
    prompts = asked.load(run.seed)
    test = load_prompts(test_prompts, num=num_test, seed=run.seed + 1)
    opened = open_engine(engine, model, upstream, batch_size)
    out.mkdir(parents=True, exist_ok=True)
    with rollout_tools(opened, asked, judging, TriggerChoice()) as tools:
        figures, grown = compare(prompts, test, tools, run)
    write_record(out / "report.json", to_row(figures, grown))
    Console().print(strategy_table(figures))
    if grown is None:
        say("there were no candidates")
        return
    grown.write(out / "triggers.jsonl")
    tried = len(grown.kept) + len(grown.dropped)
    say(f"{len(grown.kept)} of {counted(tried, 'candidate')} kept: {out / 'triggers.jsonl'}")


@contextmanager
def _shown(what: str, total: int, folder: Path) -> Generator[Callable[[int], object]]:
    """A progress bar; an interruption says how to go on."""
    from ..guard.progress import progress

    try:
        with progress(what, total) as step:
            yield lambda num: [step() for _ in range(num)]
    except KeyboardInterrupt:
        raise KeyboardInterrupt(
            f"interrupted; give the same command again to go on with {folder}"
        ) from None
