"""A Hugging Face model behind the asynchronous contract: any number of streams, one run at a time.

A thread of its own generates; runs wait in line, and those that go on after an intervention go
first, since a reader waits for them already. A run that is far ahead of its reader waits for it, so
that a slow one costs no memory. Every run draws from a seed made from the stream's own and from
where it starts, so the same request gives the same tokens whatever else is running. Each run reads
its context anew; many streams at once are what vLLM is for.
"""

import asyncio
import hashlib
import itertools
import threading
from collections.abc import AsyncIterator, Mapping, Sequence
from queue import PriorityQueue
from typing import Any

try:
    import torch
    from transformers import LogitsProcessorList, StoppingCriteria, StoppingCriteriaList
except ImportError as error:  # pragma: no cover - needs an environment without the extra
    raise ImportError("a model needs torch and transformers: pip install 'rerail[hf]'") from error

from .backend_transformers_likelihoods import Likelihoods
from .backend_transformers_penalties import NewTokenPenalties
from .backend_transformers_runs import seeded
from .detokenizer import Vocabulary
from .prompt import Prompt
from .reasoning_format import ReasoningFormat
from .tokens import Token, TokenTable
from .traces import FinishReason

_MAX_AHEAD = 256
"""Tokens that a run may be ahead of its reader."""

SAMPLING = frozenset(
    {
        "temperature",
        "top_p",
        "top_k",
        "min_p",
        "repetition_penalty",
        "presence_penalty",
        "frequency_penalty",
        "logit_bias",
        "logprobs",
        "seed",
        "max_new_tokens",
    }
)
"""What `sampling` may hold, with vLLM's and OpenAI's names. What is missing is the model's own
setting; a temperature of 0 takes the likeliest token. The keys of `logit_bias` are token ids, as
numbers or, as in JSON, as texts. With `logprobs` tokens carry their log probability and so many of
the likeliest."""


class AsyncTransformersBackend:
    """Streams one loaded model. Close it when it is no longer needed."""

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        *,
        reasoning_format: ReasoningFormat | None = None,
        max_ahead: int = _MAX_AHEAD,
    ) -> None:
        """Without a `reasoning_format` the one that the vocabulary has tokens for."""
        self.model = model
        self.tokenizer = tokenizer
        self.reasoning_format = reasoning_format or ReasoningFormat.detect(tokenizer.get_vocab())
        self.max_ahead = max_ahead
        ends = model.generation_config.eos_token_id
        self.end_ids = frozenset(ends if isinstance(ends, list) else [ends]) - {None}
        marks = {tokenizer.eos_token_id, tokenizer.pad_token_id, tokenizer.bos_token_id}
        self._vocabulary = Vocabulary(tokenizer.backend_tokenizer, (self.end_ids | marks) - {None})
        padding = tokenizer.pad_token_id
        self._pad_id = padding if padding is not None else min(self.end_ids, default=0)
        self.num_open = 0
        """Runs that have begun and not been closed."""
        self._queue: PriorityQueue[tuple[int, int, TransformersStream | None]] = PriorityQueue()
        self._order = itertools.count()
        self._thread = threading.Thread(target=self._work, name="rerail-generate", daemon=True)
        self._thread.start()

    @property
    def queue_depth(self) -> int:
        """Runs that wait for their turn."""
        return self._queue.qsize()

    @property
    def max_positions(self) -> int:
        """Tokens that the model's context can hold."""
        return getattr(self.model.config, "max_position_embeddings", None) or 1 << 20

    def stream(
        self, prompt: Prompt, kept: TokenTable, sampling: Mapping[str, Any]
    ) -> "TransformersStream":
        """Raises ValueError for a setting in `sampling` that this backend does not know."""
        unknown = set(sampling) - SAMPLING
        if unknown:
            raise ValueError(f"unknown sampling setting {min(unknown)!r}: use {sorted(SAMPLING)}")
        context = prompt.ids + kept.known_ids()
        room = self.max_positions - len(context)
        left = min(sampling.get("max_new_tokens", room + len(kept)) - len(kept), room)
        stream = TransformersStream(self, context, len(prompt.ids), left, sampling)
        if left > 0:
            self._queue.put((0 if len(kept) else 1, next(self._order), stream))
        return stream

    async def encode(self, text: str, prompt: Prompt, kept: TokenTable) -> list[Token]:
        """`text` as tokens that can follow the kept ones."""
        return self._vocabulary.encode(text, prompt.ids + kept.known_ids())

    def close(self) -> None:
        """Ends the thread after the run under way."""
        self._queue.put((2, next(self._order), None))
        self._thread.join()

    def _work(self) -> None:
        while (stream := self._queue.get()[2]) is not None:
            if not stream.aborted.is_set():
                stream.run()

    def generate(self, stream: "TransformersStream") -> FinishReason:
        """Runs to the end, on the backend's own thread; gives why it ended."""
        ids = torch.tensor([stream.context], device=self.model.device)
        num_top = stream.sampling.get("logprobs")
        likelihoods = None if num_top is None else Likelihoods(self.tokenizer, num_top)
        watch = _Watch(stream, self._vocabulary.stream(stream.context), likelihoods)
        with torch.no_grad(), seeded(self.model.device, stream.seed):
            output = self.model.generate(
                ids,
                attention_mask=torch.ones_like(ids),
                max_new_tokens=stream.left,
                pad_token_id=self._pad_id,
                stopping_criteria=StoppingCriteriaList([watch]),
                **_generate_options(stream.sampling, stream.prompt_length, likelihoods),
            )
        ended = int(output[0, -1]) in self.end_ids
        return FinishReason.STOP if ended else FinishReason.LENGTH


class TransformersStream:
    """One run: waits for its turn, then gives tokens one by one."""

    def __init__(
        self,
        backend: AsyncTransformersBackend,
        context: tuple[int, ...],
        prompt_length: int,
        left: int,
        sampling: Mapping[str, Any],
    ) -> None:
        self.context = context
        self.prompt_length = prompt_length
        self.left = left
        """Tokens to sample at most; nothing is run for none."""
        self.sampling = sampling
        self.finish_reason = FinishReason.LENGTH
        self.aborted = threading.Event()
        self._backend = backend
        self._loop = asyncio.get_running_loop()
        self._ready: asyncio.Queue[Token | Exception | None] = asyncio.Queue()
        self._room = threading.Semaphore(backend.max_ahead)
        self._begun = threading.Event()
        self._over = asyncio.Event()
        self._open = True
        backend.num_open += 1

    @property
    def seed(self) -> int:
        """Of this run: the stream's own, and the number of tokens that it goes on from."""
        key = f"{self.sampling.get('seed', 0)}:{len(self.context) - self.prompt_length}"
        return int.from_bytes(hashlib.sha256(key.encode()).digest()[:6], "big")

    async def __aiter__(self) -> AsyncIterator[Sequence[Token]]:
        if self.left <= 0:
            return
        while (item := await self._ready.get()) is not None:
            if isinstance(item, Exception):
                raise item
            self._room.release()
            yield (item,)

    async def close(self) -> None:
        """Returns when the model has stopped: after the token under way."""
        if not self._open:
            return
        self._open = False
        self._backend.num_open -= 1
        self.aborted.set()
        self._room.release()
        if self._begun.is_set():
            await self._over.wait()

    # -- on the backend's thread --------------------------------------------------------------

    def run(self) -> None:
        """Generates to the end, or until it is closed."""
        self._begun.set()
        try:
            self.finish_reason = self._backend.generate(self)
            self._post(self._ready.put_nowait, None)
        except Exception as error:
            self._post(self._ready.put_nowait, error)
        finally:
            self._post(self._over.set)

    def push(self, token: Token) -> None:
        """Hands a token over; waits while the reader is too far behind."""
        self._room.acquire()
        if not self.aborted.is_set():
            self._post(self._ready.put_nowait, token)

    def _post(self, function: Any, *arguments: Any) -> None:
        try:
            self._loop.call_soon_threadsafe(function, *arguments)
        except RuntimeError:  # the event loop has been closed: nobody reads any more
            self.aborted.set()


class _Watch(StoppingCriteria):
    """Hands over every token that is sampled; stops where the stream has been closed."""

    def __init__(
        self, stream: TransformersStream, detokenizer: Any, likelihoods: Likelihoods | None
    ) -> None:
        self._stream = stream
        self._detokenizer = detokenizer
        self._likelihoods = likelihoods

    def __call__(self, input_ids: Any, scores: Any, **_: Any) -> Any:
        token_id = int(input_ids[0, -1])
        token: Token = self._detokenizer.token(token_id)
        if self._likelihoods is not None:
            token = token._replace(logprob=self._likelihoods.of(token_id))
        self._stream.push(token)
        stop = self._stream.aborted.is_set()
        return torch.full((1,), stop, dtype=torch.bool, device=input_ids.device)


def _generate_options(
    sampling: Mapping[str, Any], prompt_length: int, likelihoods: Likelihoods | None
) -> dict[str, Any]:
    """`sampling` as `generate` takes it."""
    options: dict[str, Any] = {}
    temperature = sampling.get("temperature")
    drawn = ("top_p", "top_k", "min_p")
    if temperature == 0:
        options["do_sample"] = False
    elif temperature is not None or any(name in sampling for name in drawn):
        options["do_sample"] = True
        if temperature is not None:
            options["temperature"] = float(temperature)
        options |= {name: sampling[name] for name in drawn if name in sampling}
        if options.get("top_k") in (0, -1):  # vLLM's way to turn it off
            options["top_k"] = 0
    if "repetition_penalty" in sampling:
        options["repetition_penalty"] = float(sampling["repetition_penalty"])
    penalties = NewTokenPenalties(
        prompt_length,
        presence=sampling.get("presence_penalty") or 0.0,
        frequency=sampling.get("frequency_penalty") or 0.0,
        bias={int(each): add for each, add in (sampling.get("logit_bias") or {}).items()},
    )
    processors: list[Any] = [] if likelihoods is None else [likelihoods]
    if penalties.active:
        processors.append(penalties)
    if processors:
        options["logits_processor"] = LogitsProcessorList(processors)
    return options
