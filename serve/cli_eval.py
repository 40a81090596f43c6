"""`rerail eval`: a model by the paper's measures, before and after guard and training."""

from functools import partial
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from ..guard import GuardConfig
from .cli_errors import options_checked, say
from .eval_options import JudgeOptions, Words, drawn, steps, subjects
from .extras import need
from .options import ModelChoice, Sampling


def evaluate(
    *,
    out: Path,
    prompts: Words = ("sandbox",),
    arms: Words = ("base", "guarded"),
    adapter: Path | None = None,
    detector: str = "student",
    num_prompts: int | None = None,
    num_samples: int = 1,
    model: ModelChoice = ModelChoice(),  # noqa: B008  (frozen: sharing it is harmless)
    sampling: Sampling = Sampling(),  # noqa: B008
    judges: JudgeOptions = JudgeOptions(),  # noqa: B008
    guard: Annotated[GuardConfig, Parameter(name="*")] = GuardConfig(),  # noqa: B008
) -> int:
    """Measure a model: harm of reasoning and of answers, over-refusal, accuracy, arm by arm.

    Every arm answers the same prompts with the same seeds. The folder gets every trace, every
    verdict, report.md, report.json and plots; a run that was stopped goes on with the same command.

    Examples

        rerail eval --out results --num-prompts 50
        rerail eval --out results --arms base guarded adapter adapter+guarded --adapter ./adapter
        rerail eval --out results --model ./model --prompts xstest=xstest.csv --judge keywords

    Parameters
    ----------
    out
        Folder of the results.
    prompts
        `sandbox` (all its suites), one of them (`sandbox-harmful`, `sandbox-multi-turn`, ...), a
        public set (`jailbreakbench`, `strongreject`, `harmbench`, `xstest`, `wildjailbreak`,
        `sorry-bench`, `or-bench`, `gsm8k`, `math-500`, `aime`), such a set from a file
        (`xstest=FILE`), or a file of prompts.
    arms
        `base`, `guarded`, `adapter`, `adapter+guarded`; the first is what the others are compared
        with.
    adapter
        The folder of a trained adapter.
    detector
        Of the guarded arms: `student`, `keywords`, the folder of a student, or
        `module:name`, what makes one of your own.
    num_prompts
        The first so many of each set; the sandbox draws 100 of each kind.
    num_samples
        Generations for each prompt and arm.
    """
    need("eval")
    from ..train.evaluation import Parts, num_steps
    from ..train.evaluation import evaluate as run
    from ..train.evaluation_config import Arm, EvaluationConfig
    from ..train.evaluation_judges import default_judges, judges_named
    from ..train.evaluation_report import write_report
    from ..train.evaluation_suites import suites_named
    from .detectors import detector_for

    with options_checked():
        config = EvaluationConfig(
            model=model.model,
            adapter=None if adapter is None else str(adapter),
            arms=tuple(Arm(each) if each in set(Arm) else each for each in arms),  # type: ignore[misc]
            prompts=prompts,
            num_prompts=num_prompts,
            num_samples=num_samples,
            seed=guard.seed,
            judges=judges.judge or default_judges(prompts),
            detector=detector,
            sampling=drawn(sampling),
            guard=guard,
        )
        named = judges_named(config.judges, judges.endpoint.place)
        suites = suites_named(prompts, num=num_prompts, seed=guard.seed)
    loaded = partial(detector_for, detector, model.model)
    parts = Parts(subjects(model, adapter), suites, named, loaded)
    with steps("Evaluating", num_steps(config, parts)) as step:
        outcomes = run(config, parts, out, step)
    write_report(config, outcomes, out)
    say(f"the report is in {out / 'report.md'}")
    return 0


def study(
    *,
    out: Path,
    seeds: int = 1,
    quick: bool = False,
    model: ModelChoice = ModelChoice(),  # noqa: B008
) -> int:
    """Reproduce the paper's findings on the sandbox: STUDY.md, study.json and figures.

    Turning points and first cues, triggers in safe traces, harm after 0 to 5 interventions,
    detectors, training arms with the same pairs, suites and attacks before and after the guard.

    Examples

        rerail eval study --out study --quick
        rerail eval study --out study --seeds 3

    Parameters
    ----------
    out
        Folder of the results.
    seeds
        So many seeds, 0, 1, ...; the tables pool them.
    quick
        A small size, for a look.
    """
    need("train", "eval")
    from ..train.study import run_study
    from ..train.study_parts import StudyConfig

    with options_checked():
        config = StudyConfig.quick(seeds) if quick else StudyConfig(num_seeds=seeds)
    from ..guard.progress import progress

    with progress("Study", config.num_parts) as advance:
        run_study(config, subjects(model, None), out, model=model.model, told=advance)
    say(f"the study is in {out / 'STUDY.md'}")
    return 0
