"""`rerail eval csr`: where in a chain of thought its outcome is decided."""

from pathlib import Path

from .cli_errors import UsageError, options_checked, say
from .eval_options import JudgeOptions, drawn, harmful_asked, steps, subjects
from .extras import need
from .options import ModelChoice, Sampling


def csr(
    *,
    out: Path,
    prompts: str = "sandbox-harmful",
    adapter: Path | None = None,
    num_prompts: int = 30,
    continuations: int = 32,
    stride: int = 8,
    resolution: int = 2,
    seed: int = 0,
    model: ModelChoice = ModelChoice(),  # noqa: B008
    sampling: Sampling = Sampling(),  # noqa: B008
    judges: JudgeOptions = JudgeOptions(),  # noqa: B008
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
        Tokens between two positions while nothing has settled.
    resolution
        Tokens between two positions where something may have (the paper: every token).
    seed
        Of everything that is drawn.
    """
    need("eval")
    from ..train.csr import measure_csr
    from ..train.csr_config import CsrConfig
    from ..train.csr_report import write_csr

    with options_checked():
        config = CsrConfig(
            num_continuations=continuations,
            stride=stride,
            resolution=resolution,
            seed=seed,
            sampling=drawn(sampling),
        )
        judge, asked = harmful_asked(prompts, judges, num=num_prompts, seed=seed)
        if judge.name != "exact":
            raise UsageError(
                "cues and triggers are labelled by the sandbox's grammar: give sandbox prompts"
            )
    arms = ("base",) if adapter is None else ("base", "adapter")
    found = {}
    with steps("Continuing", len(asked) * len(arms)) as step:
        for arm in arms:
            subject = subjects(model, adapter)(arm == "adapter")
            found[arm] = measure_csr(subject, asked, judge, config, out / arm, step=step)
    write_csr(found, out)
    say(f"the report is in {out / 'csr.md'}")
    return 0
