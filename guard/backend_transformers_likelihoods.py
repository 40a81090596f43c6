"""Log probabilities of sampled tokens, read off `generate` as it goes."""

from typing import Any

from transformers import LogitsProcessor

from .tokens import TokenLogprob


class Likelihoods(LogitsProcessor):
    """Looks at the model's logits and changes nothing.

    It comes before temperature, filters and the guard's own penalties, and after a repetition
    penalty.
    """

    def __init__(self, tokenizer: Any, num_top: int) -> None:
        """`num_top`: how many of the likeliest tokens are kept beside each."""
        self._tokenizer = tokenizer
        self._num_top = num_top
        self._last: Any = None

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        self._last = scores[0].float().log_softmax(-1)
        return scores

    def of(self, token_id: int) -> TokenLogprob:
        """Of the token that was sampled last."""
        values, ids = self._last.topk(self._num_top)
        likely = zip(ids.tolist(), values.tolist(), strict=True)
        top = tuple((self._spelled(each), value) for each, value in likely)
        return TokenLogprob(self._spelled(token_id), float(self._last[token_id]), top)

    def _spelled(self, token_id: int) -> str:
        return self._tokenizer.decode([token_id])
