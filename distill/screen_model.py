"""The student's screen in torch: word vectors into a recurrent net with two heads.

A word is the mean of its pieces' vectors, which are the pre-trained encoder's own, reduced by
principal components and never trained: so words that no trace holds still mean something.
"""

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

NUM_HEADS = 2
"""Log-odds that the step goes along with the request; that it is a cue whatever was asked."""


class ScreenModel(nn.Module):
    """Units in, log-odds `[..., NUM_HEADS]` out, one for every unit."""

    table: Tensor
    """Vectors of the pieces, `[pieces, dimensions]`; a buffer, never trained."""

    def __init__(self, table: npt.NDArray[np.float16], width: int = 64) -> None:
        super().__init__()
        self.width = width
        vectors = torch.from_numpy(table.astype(np.float32))
        vectors[0] = 0.0  # the id of a missing piece
        self.register_buffer("table", vectors)
        self.recurrent = nn.GRU(table.shape[1], width, batch_first=True)
        self.heads = nn.Linear(width, NUM_HEADS)

    def word_vectors(self, pieces: Tensor) -> Tensor:
        """Pieces `[..., PIECES_PER_WORD]` (0: none) to vectors `[..., dimensions]`."""
        count = (pieces > 0).sum(-1, keepdim=True).clamp(min=1)
        return self.table[pieces].sum(-2) / count

    def forward(self, pieces: Tensor, hidden: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """Log-odds `[n, units, heads]` and the last hidden state `[1, n, width]`."""
        outputs, last = self.recurrent(self.word_vectors(pieces), hidden)
        return self.heads(outputs), last


def reduced_vectors(vectors: npt.NDArray[np.float32], dimensions: int) -> npt.NDArray[np.float16]:
    """The leading principal components of word vectors `[pieces, width]`, scaled to unit spread."""
    centred = vectors - vectors.mean(axis=0)
    _, _, directions = np.linalg.svd(centred.T @ centred)
    reduced = centred @ directions[:dimensions].T
    return (reduced / reduced.std()).astype(np.float16)
