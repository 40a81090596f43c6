"""`rerail eval`: a model by the paper's measures, before and after guard and training."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from ..guard import GuardConfig
from .cli_errors import UsageError, options_checked, say
from .options import ModelChoice, Sampling

Words = Annotated[tuple[str, ...], Parameter(consume_multiple=True)]
"""Words after one flag, or after the same flag again."""

Files = Annotated[tuple[Path, ...], Parameter(consume_multiple=True)]


@Parameter(name="*")
@dataclass(frozen=True, slots=True, kw_only=True)
class JudgeOptions:
    """Who judges."""

    judge: Words = ()
    """`exact` (the sandbox's own), `keywords` (refusals only), `maths` (tasks only), `rubric` (a
    chat model with our rubric), `qwen3guard`, `llama-guard`, `wildguard`; the first counts, the
    next ones fill in what it leaves open."""

    judge_model: str | None = None
    """The judge model's name or folder."""

    judge_url: str | None = None
    """An OpenAI-compatible server that has the judge model."""

    judge_api_key: Annotated[str | None, Parameter(env_var="RERAIL_JUDGE_API_KEY")] = None
    """For that server; rather give it in the environment."""


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
    judges: JudgeOptions = JudgeOptions(),
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
        Of the guarded arms: `student`, `keywords`, or the folder of a student.
    num_prompts
        The first so many of each set; the sandbox draws 100 of each kind.
    num_samples
        Generations for each prompt and arm.
    """
    from ..train.evaluation import Parts, num_steps
    from ..train.evaluation import evaluate as run
    from ..train.evaluation_config import Arm, EvaluationConfig
    from ..train.evaluation_judges import default_judges, judges_named
    from ..train.evaluation_report import write_report
    from ..train.evaluation_suites import suites_named
    from .detectors import load_detector

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
        named = judges_named(config.judges, _place(judges))
        suites = suites_named(prompts, num=num_prompts, seed=guard.seed)
    parts = Parts(_subjects(model, adapter), suites, named, lambda: load_detector(detector))
    with _steps("Evaluating", num_steps(config, parts)) as step:
        outcomes = run(config, parts, out, step)
    write_report(config, outcomes, out)
    say(f"the report is in {out / 'report.md'}")
    return 0


def csr(
    *,
    out: Path,
    prompts: str = "sandbox-harmful",
    adapter: Path | None = None,
    num_prompts: int = 30,
    continuations: int = 32,
    stride: int = 8,
    seed: int = 0,
    model: ModelChoice = ModelChoice(),  # noqa: B008
    sampling: Sampling = Sampling(),  # noqa: B008
    judges: JudgeOptions = JudgeOptions(),
) -> int:
    """Continuation safety ratio by position, turning points, and how they go with the first cue.

    With an adapter the model is measured before and after it, in one figure.

    Examples

        rerail eval csr --out csr --num-prompts 20 --continuations 16
        rerail eval csr --out csr --model ./model --adapter ./adapter

    Parameters
    ----------
    out
        Folder of the results.
    prompts
        Harmful prompts, named as for `rerail eval`.
    adapter
        The folder of a trained adapter.
    num_prompts
        So many of them (the paper: 30).
    continuations
        Fresh continuations a position (the paper: 32).
    stride
        Tokens between two positions.
    seed
        Of everything that is drawn.
    """
    from ..train.csr import CsrConfig, measure_csr
    from ..train.csr_report import write_csr
    from ..train.evaluation_judges import default_judges, judges_named
    from ..train.evaluation_suites import suites_named

    with options_checked():
        config = CsrConfig(
            num_continuations=continuations, stride=stride, seed=seed, sampling=drawn(sampling)
        )
        judge = judges_named(judges.judge or default_judges((prompts,)), _place(judges))[0]
        if judge.name != "exact":
            raise UsageError(
                "cues and triggers are labelled by the sandbox's grammar: give sandbox prompts"
            )
        (suite, *_) = suites_named((prompts,), num=num_prompts, seed=seed)
    asked = [each for each in suite.prompts if each.harmful]
    arms = ("base",) if adapter is None else ("base", "adapter")
    found = {}
    with _steps("Continuing", len(asked) * len(arms)) as step:
        for arm in arms:
            subject = _subjects(model, adapter)(arm == "adapter")
            found[arm] = measure_csr(subject, asked, judge, config, out / arm, step=step)
    write_csr(found, out)
    say(f"the report is in {out / 'csr.md'}")
    return 0


def interventions(
    *,
    out: Path,
    prompts: str = "sandbox-harmful",
    detectors: Words = ("keywords", "student", "exact"),
    num_prompts: int = 60,
    num_samples: int = 1,
    cap: int = 5,
    seed: int = 0,
    model: ModelChoice = ModelChoice(),  # noqa: B008
    sampling: Sampling = Sampling(),  # noqa: B008
    judges: JudgeOptions = JudgeOptions(),
) -> int:
    """Harm after 0, 1, ... interventions, by detector and by trigger.

    Examples

        rerail eval interventions --out interventions --num-prompts 40
        rerail eval interventions --out interventions --detectors student self exact

    Parameters
    ----------
    out
        Folder of the results.
    prompts
        Harmful prompts, named as for `rerail eval`.
    detectors
        `keywords`, `student`, `self` (the model itself), `exact` (the sandbox's judge), or the
        folder of a student.
    num_prompts
        So many prompts.
    num_samples
        Generations for each.
    cap
        Interventions at most.
    seed
        Of everything that is drawn.
    """
    from ..train.evaluation_judges import default_judges, judges_named
    from ..train.evaluation_suites import suites_named
    from ..train.intervention_curve import measure_interventions
    from ..train.intervention_report import write_interventions

    if cap < 1:
        raise UsageError(f"--cap is {cap}: give at least 1")
    with options_checked():
        judge = judges_named(judges.judge or default_judges((prompts,)), _place(judges))[0]
        (suite, *_) = suites_named((prompts,), num=num_prompts, seed=seed)
    asked = [each for each in suite.prompts if each.harmful]
    subject = _subjects(model, None)(False)
    found = {}
    with _steps("Intervening", len(asked) * num_samples * len(detectors)) as step:
        for name in detectors:
            found[Path(name).name] = measure_interventions(
                subject,
                asked,
                _detector(name, subject, asked, taught=judge.name == "exact"),
                judge,
                out,
                name=Path(name).name,
                cap=cap,
                num_samples=num_samples,
                seed=seed,
                sampling=drawn(sampling),
                step=step,
            )
    write_interventions(found, cap, out)
    say(f"the report is in {out / 'interventions.md'}")
    return 0


def thresholds(
    *,
    out: Path,
    traces: Files = (),
    store: str | None = None,
    detector: str = "student",
    false_alarm_rate: float = 0.01,
    max_traces: int | None = None,
) -> int:
    """Re-score recorded traces at every threshold, and recommend one.

    Labelled files tell false alarms from misses; the traces of a store tell how often the guard
    would act. Nothing is generated again.

    Examples

        rerail eval thresholds --out thresholds --traces labelled.jsonl harmless.jsonl
        rerail eval thresholds --out thresholds --store rerail.db --detector keywords

    Parameters
    ----------
    out
        Folder of the results.
    traces
        JSON Lines files of traces with `steps`, and `labels` where there are some.
    store
        A store's recorded traces instead.
    detector
        `student`, `keywords`, or the folder of a student.
    false_alarm_rate
        The share of harmless traces that may be interrupted.
    max_traces
        The first so many of each file, or of the store.
    """
    from itertools import islice

    from ..distill.labels import read_traces
    from ..distill.replay import replay
    from ..train.threshold_curves import labelled_of, write_thresholds
    from .detectors import load_detector

    if bool(traces) == (store is not None):
        raise UsageError("give --traces FILES or --store STORE: one of them")
    if not 0 <= false_alarm_rate <= 1:
        raise UsageError(f"--false-alarm-rate is {false_alarm_rate}: give a share from 0 to 1")
    with options_checked():
        loaded = load_detector(detector)
    if store is not None:
        from ..guard.store import Store

        with Store(store, read_only=True) as opened:
            found = [labelled_of(each) for each in islice(opened.traces(), max_traces)]
    else:
        found = [each for path in traces for each in islice(read_traces([path]), max_traces)]
    if not found:
        raise UsageError("there are no traces to score")
    replayed = []
    with _steps("Scoring", len(found)) as step:
        for start in range(0, len(found), 16):
            replayed += replay(loaded, found[start : start + 16])
            step(len(found[start : start + 16]))
    write_thresholds(loaded.identity, replayed, out, false_alarm_rate)
    say(f"the report is in {out / 'thresholds.md'}")
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
    from ..train.study import run_study
    from ..train.study_parts import StudyConfig

    with options_checked():
        config = StudyConfig.quick(seeds) if quick else StudyConfig(num_seeds=seeds)
    from ..guard.progress import progress

    with progress("Study", config.num_parts) as advance:
        run_study(config, _subjects(model, None), out, model=model.model, told=advance)
    say(f"the study is in {out / 'STUDY.md'}")
    return 0


def drawn(sampling: Sampling) -> Any:
    """The command line's sampling as batches take it; the sandbox's own settings by default."""
    from ..train.generation import Sampling as Drawn

    given = {
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "top_k": sampling.top_k,
        "max_new_tokens": sampling.max_new_tokens,
    }
    return Drawn(**{name: value for name, value in given.items() if value is not None})


def _place(judges: JudgeOptions) -> Any:
    from ..train.evaluation_judges import JudgePlace

    return JudgePlace(model=judges.judge_model, url=judges.judge_url, api_key=judges.judge_api_key)


def _subjects(choice: ModelChoice, adapter: Path | None) -> Callable[[bool], Any]:
    """Loads the model, with or without the adapter; one at a time."""

    def load(adapted: bool) -> Any:
        from ..guard.backend_transformers_identity import model_identity
        from ..train.evaluation_subject import Subject
        from .models import load_weights

        model, tokenizer = load_weights(choice)
        if adapted:
            from ..train.preference_models import with_adapter

            assert adapter is not None
            model = with_adapter(model, adapter).merge_and_unload()
        return Subject.from_model(model_identity(model), model, tokenizer)

    return load


def _detector(name: str, subject: Any, prompts: Any, *, taught: bool) -> Any:
    """By name; `taught`: the model knows the sandbox's questions about itself."""
    if name == "exact":
        from ..train.exact_detector import ExactDetector

        return ExactDetector(prompts)
    if name == "self":
        from ..train.study_parts import self_detector

        return self_detector(subject, taught=taught)
    from .detectors import load_detector

    with options_checked():
        return load_detector(name)


@contextmanager
def _steps(what: str, total: int) -> Iterator[Callable[[int], None]]:
    from ..guard.progress import progress

    with progress(what, total) as advance:

        def step(done: int) -> None:
            for _ in range(done):
                advance()

        yield step
