"""Options of the commands that roll out: what is asked, who judges, and which triggers."""

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from cyclopts import Parameter

from ..train.evaluation_judges import judges_named
from ..train.sandbox.kinds import Kind
from ..train.self_detector_config import Method, SelfDetectorConfig
from .cli_errors import UsageError, options_checked
from .judge_options import JudgeEndpoint

if TYPE_CHECKING:
    from ..train.completion_reader import CompletionReader
    from ..train.cue_finders import CueFinder
    from ..train.judges import Judge
    from ..train.prompts import PromptRecord
    from ..train.rollouts import RolloutTools
    from .rollout_engines import RolloutEngine


@Parameter(name="*")
@dataclass(frozen=True, slots=True, kw_only=True)
class PromptChoice:
    """What is asked."""

    prompts: str = "sandbox:train"
    """A JSONL, CSV or parquet file, a hub data set (`owner/name:split`), or `sandbox:train`."""

    num: int | None = None
    """The first so many prompts; of the sandbox 200 without it."""

    kind: Kind | None = None
    """What prompts are that do not say it themselves; of the sandbox only this kind."""

    @property
    def is_sandbox(self) -> bool:
        """Whether they come from the sandbox's world."""
        return self.prompts.partition(":")[0] == "sandbox"

    def load(self, seed: int) -> list["PromptRecord"]:
        """Raises `PromptFileError` naming the line that is broken."""
        from ..train.prompts import load_prompts

        if self.num is not None and self.num < 1:
            raise UsageError(f"--num is {self.num}: give at least 1")
        return load_prompts(self.prompts, kind=self.kind, num=self.num, seed=seed)


@Parameter(name="*")
@dataclass(frozen=True, slots=True, kw_only=True)
class JudgingChoice:
    """Who finds first cues, and who else has to agree."""

    detector: str = "self"
    """`self`: the model itself; `exact`: the sandbox's judge; `student`, `keywords`, or a folder
    with a student of your own."""

    method: Method = Method.LIKELIHOOD
    """How the model is asked about itself: `likelihood` of yes, step by step, or `asked` for the
    number of the step."""

    threshold: float = 0.5
    """Share of yes from which a step counts as a cue (`likelihood`)."""

    judge: str | None = None
    """Has to find originals harmful and intervened sides safe, too: `exact`, `rubric`, or a family
    of guard models."""

    endpoint: JudgeEndpoint = field(default_factory=JudgeEndpoint)

    def check(self, asked: PromptChoice) -> None:
        """Raises `UsageError` for what is of no use with these prompts."""
        if "exact" in (self.detector, self.judge) and not asked.is_sandbox:
            raise UsageError("`exact` reads the sandbox's world only: name another")

    def new_judge(self) -> "Judge | None":
        """Raises ValueError for one that is unknown, or that lacks its model."""
        if self.judge is None:
            return None
        return judges_named([self.judge], self.endpoint.place)[0]

    def finder(
        self, engine: "RolloutEngine", reader: "CompletionReader", *, sandbox: bool
    ) -> "CueFinder":
        """Raises ValueError for a detector that is not there, or that the engine cannot serve."""
        from ..train.cue_finders import DetectorFinder, ExactFinder
        from ..train.self_detector import SelfDetector
        from ..train.self_questions import questions_for
        from .detectors import detector_for

        if self.detector == "exact":
            return ExactFinder()
        if self.detector != "self":
            return DetectorFinder(detector_for(self.detector, engine.model))
        with options_checked():
            config = SelfDetectorConfig(method=self.method, threshold=self.threshold)
        return SelfDetector(
            engine.generator,
            reader,
            engine.likelihoods,
            questions=questions_for(taught=sandbox),
            config=config,
            model=engine.identity,
        )


@Parameter(name="*")
@dataclass(frozen=True, slots=True, kw_only=True)
class TriggerChoice:
    """Which triggers take the cues' places."""

    triggers: Path | None = None
    """A JSON Lines file of triggers, added to the built-in ones."""

    replace_triggers: bool = False
    """Use only those of that file."""

    written_triggers: bool = False
    """Let the model write each trigger itself, for the request and the step at hand."""

    def __post_init__(self) -> None:
        if self.replace_triggers and self.triggers is None:
            raise ValueError("--replace-triggers needs --triggers")


@contextmanager
def rollout_tools(
    engine: "RolloutEngine", asked: PromptChoice, judging: JudgingChoice, chosen: TriggerChoice
) -> Generator["RolloutTools"]:
    """Everything that rollouts need; the engine is closed behind it."""
    from ..guard.triggers import TriggerPool
    from ..train.completion_reader import CompletionReader
    from ..train.rollouts import RolloutTools
    from ..train.trigger_sources import PoolSource
    from ..train.trigger_writing import WrittenSource

    try:
        pool = None
        if chosen.triggers is not None:
            pool = TriggerPool.from_file(chosen.triggers, replace=chosen.replace_triggers)
        reader = CompletionReader(engine.tokenizer, engine.end_ids)
        finder = judging.finder(engine, reader, sandbox=asked.is_sandbox)
        source = PoolSource(pool)
        if chosen.written_triggers:
            source = WrittenSource(engine.generator, reader, finder, fallback=source)
        yield RolloutTools(engine.generator, reader, finder, source, judging.new_judge())
    finally:
        engine.close()
