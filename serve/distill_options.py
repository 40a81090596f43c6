"""Options of `rerail distill`."""

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from cyclopts import Parameter

from .cli_errors import CommandFailed, counted, options_checked, say
from .judge_options import JudgeEndpoint
from .options import ModelChoice, Moment

if TYPE_CHECKING:
    from ..distill.labels import LabelledTrace
    from ..distill.teachers import Teacher

DEFAULT_ENCODER = "sentence-transformers/all-MiniLM-L6-v2"
"""That of `distill.config`, named here since loading that takes a while."""


@Parameter(name="*")
@dataclass(frozen=True, slots=True, kw_only=True)
class TeacherChoice:
    """Who labels the traces that nobody has labelled."""

    teacher: Literal["labels", "keywords", "sentence", "self", "judge"] = "labels"
    """`labels`: the files' own, and unlabelled traces on harmful requests count as safe;
    `keywords`: the baseline; `sentence`: a classifier fitted on the labelled ones; `self`: the
    reasoning model that is to be guarded; `judge`: a model behind an OpenAI-compatible
    endpoint."""

    teacher_model: str | None = None
    """The model that `--teacher self` asks about its first cue: a folder, a hub name, or
    `sandbox`."""

    endpoint: JudgeEndpoint = field(default_factory=JudgeEndpoint)

    judge_retries: int = 3
    """Further tries after a failed call or an answer that cannot be read."""

    judge_input_price: float = 0.0
    """Dollars for a million input tokens, for the cost that is shown."""

    judge_output_price: float = 0.0
    """The same for output tokens."""

    def __post_init__(self) -> None:
        named = (self.endpoint.judge_url, self.endpoint.judge_model)
        if self.teacher == "judge" and None in named:
            raise ValueError("--teacher judge needs --judge-url and --judge-model")
        if self.teacher != "judge" and any(named):
            raise ValueError("--judge-url and --judge-model need --teacher judge")
        if (self.teacher == "self") != (self.teacher_model is not None):
            raise ValueError("--teacher self and --teacher-model go together")

    @contextmanager
    def ready(self, encoder: str, labelled: list["LabelledTrace"]) -> Generator["Teacher"]:
        """The teacher; afterwards says what a judge has cost."""
        from ..distill.teachers import KeywordTeacher, LabelledFiles

        if self.teacher == "judge":
            from ..distill.judge_teacher import JudgeConfig, JudgeError, JudgeTeacher

            with options_checked():
                settings = JudgeConfig(
                    url=self.endpoint.judge_url or "",
                    model=self.endpoint.judge_model or "",
                    api_key=self.endpoint.judge_api_key,
                    num_retries=self.judge_retries,
                    dollars_per_million_input=self.judge_input_price,
                    dollars_per_million_output=self.judge_output_price,
                )
            judge = JudgeTeacher(settings)
            try:
                yield judge
            except JudgeError as error:
                raise CommandFailed(f"{error}; the same command goes on from there") from error
            finally:
                usage = judge.usage
                if usage.input_tokens:
                    say(
                        f"the judge labelled {counted(usage.num_traces, 'trace')} "
                        f"({usage.num_unparsed} without an answer that could be read) with "
                        f"{usage.input_tokens} + {usage.output_tokens} tokens, "
                        f"${usage.dollars(settings):.2f}"
                    )
        elif self.teacher == "sentence":
            from ..distill.sentence_teacher import SentenceTeacher, load_embedder

            yield SentenceTeacher.from_traces(load_embedder(encoder), labelled)
        elif self.teacher_model is not None:
            from ..train.self_detector import SelfDetector
            from ..train.self_questions import questions_for
            from .models import load_weights

            choice = ModelChoice(model=self.teacher_model)
            model, tokenizer = load_weights(choice)
            questions = questions_for(taught=choice.is_sandbox)
            yield SelfDetector.from_transformers(model, tokenizer, questions=questions)
        else:
            yield KeywordTeacher() if self.teacher == "keywords" else LabelledFiles()


@Parameter(name="*")
@dataclass(frozen=True, slots=True, kw_only=True)
class StoredTraces:
    """Which of the store's traces are learned from as well."""

    from_store: bool = False
    """Learn from the store's traces too; they need a teacher other than `labels`."""

    store: str | None = None
    """A SQLite file or a postgresql:// URL; by default the one that other commands use."""

    since: Moment = None
    """Only traces begun since: a date, a time, or an age such as `2h` or `7d`."""

    until: Moment = None
    """Only traces begun before."""

    def __post_init__(self) -> None:
        chosen = (self.store, self.since, self.until)
        if not self.from_store and any(each is not None for each in chosen):
            raise ValueError("--store, --since and --until need --from-store")


@Parameter(name="*")
@dataclass(frozen=True, slots=True, kw_only=True)
class Fitting:
    """How the student is fitted, and when it may interrupt."""

    encoder: str = DEFAULT_ENCODER
    """The pre-trained sentence encoder: a hub name or a local folder (BERT architecture)."""

    initial_encoder: Path | None = None
    """Fitted weights to go on from: the `encoder.pt` of an earlier run."""

    name: str = "rerail-student"
    """The student's name, the first part of its identity."""

    num_folds: int = 5
    """One fold in so many of the requests, with all their traces, is held out for thresholds."""

    held_sources: tuple[str, ...] = ()
    """Files (their names without the ending) that are held out whole."""

    measured_sources: tuple[str, ...] = ("alpaca_r1_llama_8b",)
    """Files that are only measured on, neither trained nor calibrated."""

    touchy_sources: tuple[str, ...] = ("essays_benign", "drills_touchy")
    """Files of harmless traces that read like harm and get their own false-alarm limit;
    `drills_touchy`: short ones made on OR-Bench's and JailbreakBench's harmless requests."""

    harmless_limit: float = 0.01
    """Share of ordinary harmless traces that may be interrupted."""

    touchy_limit: float = 0.08
    """The same for the touchy files."""

    safe_limit: float = 0.05
    """The same for deliberately safe traces on harmful requests."""

    max_steps: int = 24
    """Steps of a trace that are learned from."""

    encoder_epochs: int = 2
    """Passes over the data that fit the encoder."""

    screen_epochs: int = 6
    """Passes that fit the screen."""

    num_tries: int = 1000
    """Tries in the search for the weights of what the student believes."""

    seed: int = 0
    """Seed of everything that is drawn."""
