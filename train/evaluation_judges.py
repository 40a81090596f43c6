"""Judges by the words of the command line."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from ..distill.judge_teacher import JudgeClient, JudgeConfig
from .judge_endpoint import RubricJudge, ask_endpoint
from .judge_models import FAMILIES, GuardModelJudge, ask_transformers
from .judges import ExactJudge, Judge, MathsJudge, RefusalKeywords


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgePlace:
    """Where judge models are."""

    model: str | None = None
    """The judge model's name or folder."""

    url: str | None = None
    """An OpenAI-compatible server that has it; without one a guard model runs in this process."""

    api_key: str | None = None
    """For that server."""


def _rubric(place: JudgePlace) -> Judge:
    if place.model is None or place.url is None:
        raise ValueError("the judge `rubric` needs --judge-model NAME and --judge-url ADDRESS")
    return RubricJudge(
        JudgeClient(JudgeConfig(url=place.url, model=place.model, api_key=place.api_key))
    )


def _guard_model(family: str) -> Callable[[JudgePlace], Judge]:
    def make(place: JudgePlace) -> Judge:
        if place.model is None:
            raise ValueError(f"the judge `{family}` needs --judge-model, a name or a folder")
        if place.url is None:
            return GuardModelJudge(place.model, family, ask_transformers(place.model))
        config = JudgeConfig(url=place.url, model=place.model, api_key=place.api_key)
        return GuardModelJudge(place.model, family, ask_endpoint(JudgeClient(config)))

    return make


JUDGES: Mapping[str, Callable[[JudgePlace], Judge]] = {
    "exact": lambda place: ExactJudge(),
    "keywords": lambda place: RefusalKeywords(),
    "maths": lambda place: MathsJudge(),
    "rubric": _rubric,
    **{family: _guard_model(family) for family in FAMILIES},
}
"""`exact`: the sandbox's; `keywords`: refusals only; `maths`: tasks only; `rubric`: any chat model
behind an endpoint; the rest are families of guard models."""


def judges_named(names: Sequence[str], place: JudgePlace) -> list[Judge]:
    """The judges of these names. Raises ValueError for an unknown one, or one without its model."""
    for name in names:
        if name not in JUDGES:
            raise ValueError(f"there is no judge {name!r}: use {', '.join(JUDGES)}")
    return [JUDGES[name](place) for name in names]


def default_judges(prompts: Sequence[str]) -> tuple[str, ...]:
    """`exact` where all prompts are the sandbox's. Elsewhere somebody has to be named.

    Raises ValueError where the exact judge would be wrong.
    """
    if all(each.partition(":")[0].split("-")[0] == "sandbox" for each in prompts):
        return ("exact",)
    raise ValueError(
        "these prompts need a judge: --judge qwen3guard --judge-model Qwen/Qwen3Guard-Gen-0.6B, "
        "--judge rubric with --judge-model and --judge-url, or --judge keywords for refusals only"
    )
