"""A Hugging Face model behind the guard: takes the model's place, and generates like it.

`generate` takes and gives what the model's own does; while the guard has nothing to do, the very
same ids. Everything that is not about generating falls through to the model.
"""

from collections.abc import Generator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from queue import SimpleQueue
from threading import Event as Flag
from threading import RLock, Thread
from typing import Any, Self, Unpack

try:
    import torch
    import transformers  # noqa: F401  # pyright: ignore[reportUnusedImport]  (named if missing)
except ImportError as error:  # pragma: no cover - needs an environment without the extra
    raise ImportError(
        "GuardedModel needs torch and transformers: pip install 'rerail[hf]'"
    ) from error

from .backend_transformers import Generation
from .backend_transformers_loading import check, load, located
from .backend_transformers_prompts import Prompts
from .backend_transformers_request import Request, read_request
from .backend_transformers_rows import OnEvents, Row
from .backend_transformers_runs import seeded
from .backend_transformers_streamer import streamer_feed
from .chat_result import ChatResult
from .config import GuardConfig
from .detector import Message
from .detokenizer import Vocabulary
from .events import Event
from .guard import Guard
from .guard_options import GuardOptions, guard_from_options, split_options
from .prompt import Prompt
from .reasoning_format import ReasoningFormat
from .traces import Trace

_OWN = frozenset({"model", "tokenizer", "last_traces"})
_GIVES_ITSELF = frozenset(
    {"to", "cuda", "cpu", "half", "float", "double", "bfloat16", "eval", "train", "requires_grad_"}
)
_UNGUARDED = frozenset({"generate_batch", "init_continuous_batching"})


class GuardedModel:
    """`model.generate` under the guard; see `generate`, `chat` and `stream`.

    One generation runs at a time: calls from several threads wait for each other.
    """

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        config: GuardConfig | None = None,
        **options: Unpack[GuardOptions],
    ) -> None:
        """`options` are those of `GuardOptions`: a detector, a store, settings by name, ...

        Raises ValueError for a model that does not continue a text, or a tokenizer that is not of
        the tokenizers library, and as `guard_from_options` does.
        """
        if isinstance(model, GuardedModel):
            raise ValueError("the model is guarded already: pass the model itself")
        check(model, tokenizer)
        self.model = model
        self.tokenizer = tokenizer
        self._guard = guard_from_options(
            config, options, model=str(getattr(model, "name_or_path", ""))
        )
        self.last_traces: tuple[Trace, ...] = ()
        """The traces of the last call that has ended, one for each returned sequence."""
        self._prompts = Prompts(model, tokenizer)
        self._format = ReasoningFormat.chosen(
            self._guard.config.reasoning_format, tokenizer.get_vocab()
        )
        self._vocabularies: dict[frozenset[int], Vocabulary] = {}
        self._lock = RLock()

    @classmethod
    def from_pretrained(
        cls,
        name_or_path: str | Path,
        config: GuardConfig | None = None,
        **options: Unpack[GuardOptions],
    ) -> Self:
        """Loads model and tokenizer from a folder or a hub name. `options` are those of
        `GuardOptions`, and what transformers takes for models (`dtype`, `device_map`, ...).

        Raises FileNotFoundError, ValueError or OSError with a sentence that says what to do.
        """
        own, loading = split_options(options)
        guard = guard_from_options(config, own, model=located(name_or_path))
        model, tokenizer = load(name_or_path, **loading)
        return cls(model, tokenizer, guard=guard)

    @property
    def guard(self) -> Guard:
        """The guard in force."""
        return self._guard

    def generate(self, *args: Any, **kwargs: Any) -> Any:
        """As `model.generate`: greedy search and sampling over any number of rows.

        The conversation that the detector reads is recovered from the prompt. `max_new_tokens`
        counts kept tokens, sampled and injected. After an intervention the ids of a row are those
        of a cold run on its kept and injected ids (in sampling, with the seed that the trace has).
        Scores and logits of injected tokens are NaN. Raises ValueError for an option that cannot be
        honoured, such as beam search.
        """
        request = read_request(self.model, self.tokenizer, args, kwargs)
        prompts = self._prompts.of(request)
        with self._lock, torch.no_grad():
            return self._generate(request, prompts, streamer_feed(request, self.guard.config))

    def chat(
        self,
        messages: Sequence[Message],
        *,
        tools: Sequence[Any] | None = None,
        chat_template_kwargs: Mapping[str, Any] | None = None,
        seed: int | None = None,
        topic: str | None = None,
        **generation: Any,
    ) -> ChatResult:
        """Answers a conversation; `generation` as for `generate`, for one sequence.

        `seed` makes sampling and the choice of triggers repeatable and leaves torch's global
        generators as they were; `topic` is what the trace is filed under. Raises ValueError without
        messages, or where the tokenizer has no chat template.
        """
        request, prompt = self._prompts.chat(
            messages,
            generation,
            tools=tools,
            template_options=chat_template_kwargs,
            seed=seed,
            topic=topic,
        )
        with self._lock, torch.no_grad(), self._seeded(seed):
            self._generate(request, [prompt], streamer_feed(request, self.guard.config))
            trace = self.last_traces[0]
        return ChatResult.of(trace)

    def stream(
        self,
        messages: Sequence[Message],
        *,
        tools: Sequence[Any] | None = None,
        chat_template_kwargs: Mapping[str, Any] | None = None,
        seed: int | None = None,
        topic: str | None = None,
        **generation: Any,
    ) -> Generator[Event, None, None]:
        """As `chat`, as events while they happen, `Finished` last.

        Generation starts with the first event asked for, in a thread of its own. Closing the
        iterator ends it after the token under way; the trace is recorded as cancelled.
        """
        request, prompt = self._prompts.chat(
            messages,
            generation,
            tools=tools,
            template_options=chat_template_kwargs,
            seed=seed,
            topic=topic,
        )
        if request.streamer is not None:
            raise ValueError("stream() gives the events itself: leave the streamer out")
        return self._events(request, prompt, seed)

    def _events(
        self, request: Request, prompt: Prompt, seed: int | None
    ) -> Generator[Event, None, None]:
        queue: SimpleQueue[list[Event] | BaseException | None] = SimpleQueue()
        cancelled = Flag()

        def work() -> None:
            try:
                with self._lock, torch.no_grad(), self._seeded(seed):
                    self._generate(
                        request, [prompt], lambda _, events: queue.put(events), cancelled
                    )
                queue.put(None)
            except BaseException as error:
                queue.put(error)

        worker = Thread(target=work, name="rerail-stream", daemon=True)
        worker.start()
        try:
            while (item := queue.get()) is not None:
                if isinstance(item, BaseException):
                    raise item
                yield from item
        finally:
            cancelled.set()
            worker.join()

    def _generate(
        self,
        request: Request,
        prompts: Sequence[Prompt],
        on_events: OnEvents | None,
        cancelled: Flag | None = None,
    ) -> Any:
        vocabulary = self._vocabulary(request)
        rows: list[Row] = []
        for index, prompt in enumerate(prompts):
            session = self.guard.open(prompt, self._format, stream_index=index)
            rows.append(Row(index, session, vocabulary.stream(prompt.ids), position=index))
        generation = Generation(
            self.model, self.guard, vocabulary, request, rows, on_events, cancelled
        )
        try:
            return generation.run()
        finally:
            traces = (row.session.trace for row in rows)
            self.last_traces = tuple(trace for trace in traces if trace is not None)

    def _vocabulary(self, request: Request) -> Vocabulary:
        tokenizer = self.tokenizer
        marks = {tokenizer.eos_token_id, tokenizer.pad_token_id, tokenizer.bos_token_id}
        silent_ids = request.eos_ids | {each for each in marks if each is not None}
        if silent_ids not in self._vocabularies:
            vocabulary = Vocabulary(tokenizer.backend_tokenizer, silent_ids)
            self._vocabularies[silent_ids] = vocabulary
        return self._vocabularies[silent_ids]

    def _seeded(self, seed: int | None) -> AbstractContextManager[None]:
        return nullcontext() if seed is None else seeded(self.model.device, seed)

    # -- the model's side ---------------------------------------------------------------------

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """The model's forward pass."""
        return self.model(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        if name == "model" or name.startswith("__"):  # while being copied or unpickled
            raise AttributeError(name)
        if name in _UNGUARDED:
            raise AttributeError(
                f"{name} would generate without the guard: use generate(), or .model.{name} if "
                "that is what you want"
            )
        found = getattr(self.model, name)
        if name not in _GIVES_ITSELF:
            return found

        def keeping_the_guard(*args: Any, **kwargs: Any) -> Any:
            result = found(*args, **kwargs)
            return self if result is self.model else result

        return keeping_the_guard

    def __setattr__(self, name: str, value: Any) -> None:
        if name in _OWN or name.startswith("_") or not hasattr(self.model, name):
            object.__setattr__(self, name, value)
        else:
            setattr(self.model, name, value)

    def __repr__(self) -> str:
        return f"GuardedModel({self._prompts.model_name!r})"
