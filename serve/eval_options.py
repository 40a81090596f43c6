"""What the commands of `rerail eval` share: judges, sampling, the measured model, progress."""

from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from .judge_options import JudgeEndpoint
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

    endpoint: JudgeEndpoint = field(default_factory=JudgeEndpoint)


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


def harmful_asked(
    prompts: str, judges: JudgeOptions, *, num: int, seed: int
) -> tuple[Any, list[Any]]:
    """The first judge, and the harmful ones of the named prompts."""
    from ..train.evaluation_judges import default_judges, judges_named
    from ..train.evaluation_suites import suites_named

    judge = judges_named(judges.judge or default_judges((prompts,)), judges.endpoint.place)[0]
    (suite, *_) = suites_named((prompts,), num=num, seed=seed)
    return judge, [each for each in suite.prompts if each.harmful]


def subjects(choice: ModelChoice, adapter: Path | None) -> Callable[[bool], Any]:
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


@contextmanager
def steps(what: str, total: int) -> Generator[Callable[[int], None]]:
    """A progress bar; what it gives takes the number of steps that were done."""
    from ..guard.progress import progress

    with progress(what, total) as advance:

        def step(done: int) -> None:
            for _ in range(done):
                advance()

        yield step
