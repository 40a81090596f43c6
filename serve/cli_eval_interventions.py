"""`rerail eval interventions`: what each further intervention brings."""

from pathlib import Path
from typing import Any

from .cli_errors import UsageError, options_checked, say
from .eval_options import JudgeOptions, Words, drawn, harmful_asked, steps, subjects
from .extras import need
from .options import ModelChoice, Sampling


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
    judges: JudgeOptions = JudgeOptions(),  # noqa: B008
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
    need("eval")
    from ..train.intervention_curve import (
        InterventionConfig,
        InterventionProbe,
        measure_interventions,
    )
    from ..train.intervention_report import write_interventions

    if cap < 1:
        raise UsageError(f"--cap is {cap}: give at least 1")
    with options_checked():
        judge, asked = harmful_asked(prompts, judges, num=num_prompts, seed=seed)
    subject = subjects(model, None)(False)
    config = InterventionConfig(
        cap=cap, num_samples=num_samples, seed=seed, sampling=drawn(sampling)
    )
    found = {}
    with steps("Intervening", len(asked) * num_samples * len(detectors)) as step:
        for name in detectors:
            taught = judge.name == "exact"
            detector = _detector(name, model.model, subject, asked, taught=taught)
            probe = InterventionProbe(subject, detector, judge, config)
            found[Path(name).name] = measure_interventions(
                probe, asked, out, name=Path(name).name, step=step
            )
    write_interventions(found, cap, out)
    say(f"the report is in {out / 'interventions.md'}")
    return 0


def _detector(name: str, model: str, subject: Any, prompts: Any, *, taught: bool) -> Any:
    """By name; `taught`: the model knows the sandbox's questions about itself."""
    if name == "exact":
        from ..train.exact_detector import ExactDetector

        return ExactDetector(prompts)
    if name == "self":
        from ..train.study_parts import self_detector

        return self_detector(subject, taught=taught)
    from .detectors import detector_for

    with options_checked():
        return detector_for(name, model)
