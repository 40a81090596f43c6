"""Models by name, as `--model` takes them. The extra `hf` is loaded when it is needed."""

import logging
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from ..guard import Guard
from .cli_errors import CommandFailed
from .options import ModelChoice, Sampling

if TYPE_CHECKING:
    from ..guard import GuardedModel, Pair
    from ..guard.pair_completion import Continuation


def load_weights(choice: ModelChoice) -> tuple[Any, Any]:
    """Model and tokenizer, unguarded.

    Raises `ImportError` naming the extra that is missing, and `FileNotFoundError`, `ValueError` or
    `OSError` with a sentence for a model that cannot be loaded.
    """
    try:
        import torch
        from transformers.utils import logging as noise
    except ImportError as error:
        raise ImportError(
            "a model needs torch and transformers: pip install 'rerail[hf]'"
        ) from error
    from ..guard.backend_transformers_loading import load
    from ..train.sandbox.shipped import resolved

    noise.set_verbosity_error()
    noise.disable_progress_bar()
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)
    if choice.is_sandbox:
        torch.set_num_threads(1)  # a second thread costs so small a model more than it brings
    try:
        model, tokenizer = load(resolved(choice.model), **choice.loading.arguments())
    except (ValueError, OSError, ImportError):
        raise
    except Exception as error:  # damaged weights: safetensors' own type, no OSError
        raise CommandFailed(f"the model {choice.model} cannot be loaded: {error}") from error
    device = choice.loading.device
    if device is not None:
        try:
            model = model.to(torch.device(device))
        except (RuntimeError, AssertionError) as error:
            reason = str(error).splitlines()[0]
            raise ValueError(f"--device {device} cannot be used: {reason}") from error
    model.name_or_path = choice.model
    return model, tokenizer


def load_model(choice: ModelChoice, guard: Guard) -> "GuardedModel":
    """The model behind this guard; `Guard(None)` guards nothing. Raises as `load_weights`."""
    model, tokenizer = load_weights(choice)
    from ..guard import GuardedModel

    return GuardedModel(model, tokenizer, guard=guard)


def continuations(
    model: Any, tokenizer: Any, sampling: Sampling, seed: int
) -> Callable[[Sequence["Pair"]], Iterable["Continuation"]]:
    """What `complete_pairs` asks for: the unguarded model goes on after each pair's cue."""
    import torch

    from ..guard.detokenizer import Vocabulary
    from ..guard.pair_completion import Continuation

    torch.manual_seed(seed)
    options = sampling.generate_options()
    ends = model.generation_config.eos_token_id
    end_ids = set(ends if isinstance(ends, list) else [ends]) - {None}
    padding = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else 0
    silent = {*end_ids, padding, tokenizer.bos_token_id} - {None}
    vocabulary = Vocabulary(tokenizer.backend_tokenizer, silent)
    positions = getattr(model.config, "max_position_embeddings", None) or 1 << 30

    def one_batch(pairs: Sequence["Pair"]) -> Iterable["Continuation"]:
        rows = [_context_ids(pair, tokenizer) for pair in pairs]
        longest = max(map(len, rows))
        ids = torch.full((len(rows), longest), padding)
        mask = torch.zeros_like(ids)
        for index, row in enumerate(rows):  # padded on the left, as generation needs it
            ids[index, longest - len(row) :] = torch.tensor(row)
            mask[index, longest - len(row) :] = 1
        room = max(1, min(options.get("max_new_tokens") or 4096, positions - longest))
        with torch.no_grad():
            output = model.generate(
                ids.to(model.device),
                attention_mask=mask.to(model.device),
                **(options | {"max_new_tokens": room, "pad_token_id": padding}),
            )
        for index, pair in enumerate(pairs):
            new = _up_to_end(output[index, longest:].tolist(), end_ids)
            stream = vocabulary.stream(pair.prompt_ids)
            whole = "".join(stream.token(each).text for each in (*pair.rejected_ids, *new))
            text = whole[len(pair.rejected) :] if pair.rejected_ids else whole
            yield Continuation(text, tuple(new) if pair.rejected_ids else ())

    return one_batch


def _context_ids(pair: "Pair", tokenizer: Any) -> list[int]:
    if pair.rejected_ids:
        return [*pair.prompt_ids, *pair.rejected_ids]
    return tokenizer(pair.prompt + pair.rejected, add_special_tokens=False)["input_ids"]


def _up_to_end(ids: list[int], end_ids: set[int]) -> list[int]:
    """The generated ids with the end token, without the padding after it."""
    for position, token_id in enumerate(ids):
        if token_id in end_ids:
            return ids[: position + 1]
    return ids
