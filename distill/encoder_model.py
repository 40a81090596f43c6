"""The student's encoder in torch: a small BERT with three heads, its lower layers frozen.

The lower layers stay as pre-trained, so what they give for a text never changes and is computed
once: that halves the cost of training on a CPU, and a frozen bottom keeps what pre-training knows
of languages and words that the labels never show.
"""

from pathlib import Path

import torch
from torch import Tensor, nn
from transformers import AutoModel

from ..guard.step_encoder import HEADS


class EncoderModel(nn.Module):
    """Word pieces in, log-odds for `HEADS` out."""

    def __init__(self, folder: Path | str, num_frozen: int = 3) -> None:
        super().__init__()
        bert = AutoModel.from_pretrained(str(folder), attn_implementation="eager")
        self.embeddings = bert.embeddings
        self.layers = bert.encoder.layer
        self.num_frozen = num_frozen
        width = bert.config.hidden_size
        self.dense = nn.Linear(2 * width, width // 2)
        self.heads = nn.Linear(width // 2, len(HEADS))
        self.dropout = nn.Dropout(0.1)
        for parameter in [*self.embeddings.parameters(), *self.layers[:num_frozen].parameters()]:
            parameter.requires_grad = False

    @property
    def trained(self) -> list[nn.Parameter]:
        """The parameters that a fit moves: all but the frozen part's."""
        return [parameter for parameter in self.parameters() if parameter.requires_grad]

    def lower(self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor) -> Tensor:
        """The frozen part, `[n, length, width]`."""
        hidden = self.embeddings(input_ids=input_ids, token_type_ids=token_type_ids)
        bias = _attention_bias(attention_mask)
        for layer in self.layers[: self.num_frozen]:
            hidden = _states(layer(hidden, bias))
        return hidden

    def upper(self, hidden: Tensor, attention_mask: Tensor, token_type_ids: Tensor) -> Tensor:
        """The trained part: log-odds `[n, heads]`."""
        bias = _attention_bias(attention_mask)
        for layer in self.layers[self.num_frozen :]:
            hidden = _states(layer(hidden, bias))
        mask = attention_mask.to(hidden.dtype)
        # A request alone has no second segment: its mean over the whole stands in for both.
        second = mask * token_type_ids.to(hidden.dtype)
        alone = (second.sum(1, keepdim=True) < 0.5).to(hidden.dtype)
        second = second + alone * mask
        pooled = torch.cat([_mean(hidden, mask), _mean(hidden, second)], dim=1)
        return self.heads(torch.tanh(self.dense(self.dropout(pooled))))

    def forward(self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor) -> Tensor:
        """Log-odds `[n, heads]` from ids, mask and segments, all `[n, length]`."""
        hidden = self.lower(input_ids, attention_mask, token_type_ids)
        return self.upper(hidden, attention_mask, token_type_ids)


def _attention_bias(attention_mask: Tensor) -> Tensor:
    return (1.0 - attention_mask[:, None, None, :].float()) * -1e4


def _states(output: Tensor | tuple[Tensor, ...]) -> Tensor:
    return output[0] if isinstance(output, tuple) else output


def _mean(hidden: Tensor, mask: Tensor) -> Tensor:
    return (hidden * mask[:, :, None]).sum(1) / mask.sum(1, keepdim=True).clamp(min=1.0)
