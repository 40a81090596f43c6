"""The loss of intervened preference optimization (arXiv 2509.24393) over log-probabilities.

loss = -log sigmoid(beta * ((chosen - ref_chosen) - (rejected - ref_rejected))) + weight * SFT,
where each value is the sum of a side's token log-probabilities from the divergence on. The shared
prefix appears on both sides with the same value, so leaving it out changes nothing in exact
arithmetic and is what keeps its positions free of loss; the SFT term, the chosen side's mean
negative log-likelihood, never counts it.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

SHARED, CHOSEN, REJECTED = 0, 1, 2
"""What a position predicts: nothing that is trained on, or a token of a side."""


@dataclass(frozen=True, slots=True)
class SideLogps:
    """Summed log-probabilities of both sides, nats, (pairs,) each."""

    chosen: Tensor
    rejected: Tensor


def side_logps(token_logps: Tensor, branch: Tensor, num_pairs: int) -> SideLogps:
    """Sums over each side.

    `token_logps` and `branch` are (rows, length): one row a pair, or two, all the chosen ones
    first. Positions whose branch is `SHARED` count nothing, whatever they hold.
    """
    chosen, rejected = (
        token_logps.masked_fill(branch != side, 0.0).sum(1) for side in (CHOSEN, REJECTED)
    )
    if len(chosen) == 2 * num_pairs:
        return SideLogps(chosen[:num_pairs], rejected[num_pairs:])
    return SideLogps(chosen, rejected)


def preference_loss(policy: SideLogps, reference: SideLogps, beta: float) -> Tensor:
    """The mean sigmoid loss over the pairs, a scalar (DPO, arXiv 2305.18290)."""
    return -logsigmoid(beta * margins(policy, reference)).mean()


def margins(policy: SideLogps, reference: SideLogps) -> Tensor:
    """How much more than the reference the policy prefers the chosen side, (pairs,)."""
    chosen = policy.chosen - reference.chosen
    return chosen - (policy.rejected - reference.rejected)


def likelihood_loss(policy: SideLogps, num_chosen_tokens: Tensor | float) -> Tensor:
    """The mean negative log-likelihood of the chosen sides' tokens, a scalar, nats a token."""
    tokens = torch.as_tensor(num_chosen_tokens, device=policy.chosen.device)
    return -policy.chosen.sum() / tokens.clamp(min=1)
