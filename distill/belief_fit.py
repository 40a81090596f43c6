"""Fits the beliefs' weights on traces that the encoder has not been trained on.

The recursion is that of `guard.belief`, written in torch over all traces at once.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from ..guard.belief import BeliefWeights
from ..guard.step_encoder import CUE, HARM, HEADS, SAFETY


@dataclass(frozen=True, slots=True)
class ScoredTrace:
    """What the encoder makes of one trace, and the truth."""

    source: str
    harmful: bool
    reading: float
    """Log-odds that the request is harmful."""

    steps: npt.NDArray[np.float32]
    """Log-odds of every head for each step, `[steps, len(HEADS)]`."""

    cues: npt.NDArray[np.float32] | None
    """1 for a cue, 0 for none, NaN where nobody has said; `None` if no step is labelled."""

    answer: npt.NDArray[np.float32] | None = None
    """The same as `steps` for the first steps of the answer."""


class _Recursion(nn.Module):
    """The unconstrained parameters, and the recursion over steps."""

    def __init__(self) -> None:
        super().__init__()
        start = {
            "harm_scale": 0.5, "harm_bias": 0.0, "harm_step": -1.0, "harm_step_bias": 0.0,
            "harm_decay": 2.0, "cue_scale": 0.5, "cue_bias": 0.0, "cue_safety": -2.0,
            "cue_history": 1.0, "history_decay": 0.5,
        }  # fmt: skip
        self.values = nn.ParameterDict(
            {name: nn.Parameter(torch.tensor(value)) for name, value in start.items()}
        )

    def constrained(self) -> dict[str, Tensor]:
        """The parameters in the ranges in which they mean what their names say."""
        values = self.values
        positive = ("harm_scale", "harm_step", "cue_scale", "cue_safety", "cue_history")
        result = {name: nn.functional.softplus(values[name]) for name in positive}
        result["harm_bias"] = values["harm_bias"]
        result["cue_bias"] = values["cue_bias"]
        result["harm_step_bias"] = values["harm_step_bias"]
        result["harm_decay"] = torch.sigmoid(values["harm_decay"])
        result["history_decay"] = torch.sigmoid(values["history_decay"])
        return result

    def forward(self, reading: Tensor, steps: Tensor, limit: float) -> tuple[Tensor, Tensor]:
        """Probabilities of harm and of going along, each `[traces, steps]`."""
        w = self.constrained()
        evidence = torch.zeros_like(reading)
        history = torch.zeros_like(reading)
        harm: list[Tensor] = []
        along: list[Tensor] = []
        for index in range(steps.shape[1]):
            step = steps[:, index]
            evidence = w["harm_decay"] * evidence + w["harm_step"] * (
                step[:, HARM] - w["harm_step_bias"]
            )
            evidence = evidence.clamp(-limit, limit)
            goes_along = torch.sigmoid(
                w["cue_scale"] * step[:, CUE]
                + w["cue_bias"]
                - w["cue_safety"] * step[:, SAFETY]
                + w["cue_history"] * history
            )
            history = w["history_decay"] * history + (1 - w["history_decay"]) * goes_along
            harm.append(torch.sigmoid(w["harm_scale"] * reading + w["harm_bias"] + evidence))
            along.append(goes_along)
        return torch.stack(harm, 1), torch.stack(along, 1)


def fit_belief(
    traces: Sequence[ScoredTrace],
    *,
    harm_limit: float = 3.0,
    harmless_weight: float = 1.0,
    num_iterations: int = 400,
    seed: int = 0,
) -> BeliefWeights:
    """Weights that make the product of both beliefs a probability on these traces.

    Raises ValueError if they hold no cue or no harmless trace, for then nothing can be fitted.
    """
    torch.manual_seed(seed)
    reading, steps, targets, weights = _collated(traces, harmless_weight)
    if not (targets * weights).sum() or not any(not trace.harmful for trace in traces):
        raise ValueError("the beliefs need labelled cues and harmless traces to be fitted on")
    recursion = _Recursion()
    optimizer = torch.optim.Adam(recursion.parameters(), lr=0.03)
    for _ in range(num_iterations):
        harm, along = recursion(reading, steps, harm_limit)
        product = (harm * along).clamp(1e-6, 1 - 1e-6)
        each = nn.functional.binary_cross_entropy(product, targets, reduction="none")
        loss = (each * weights).sum() / weights.sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    fitted = {name: float(value.detach()) for name, value in recursion.constrained().items()}
    return BeliefWeights(
        **fitted,
        harm_limit=harm_limit,
        inside_limit=1.0,
        inside_sure=1.0,
    )


def _collated(
    traces: Sequence[ScoredTrace], harmless_weight: float
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Readings `[n]`, log-odds `[n, longest, heads]`, targets and weights `[n, longest]`."""
    longest = max(len(trace.steps) for trace in traces)
    steps = torch.zeros(len(traces), longest, len(HEADS))
    targets = torch.zeros(len(traces), longest)
    weights = torch.zeros(len(traces), longest)
    for row, trace in enumerate(traces):
        num_steps = len(trace.steps)
        steps[row, :num_steps] = torch.from_numpy(trace.steps)
        # Long traces are many steps of one decision: each trace weighs as its length's root.
        weight = 1.0 / math.sqrt(max(num_steps, 1))
        if trace.cues is None:
            cues = np.zeros(num_steps, dtype=np.float32)
        else:
            cues = np.full(num_steps, np.nan, dtype=np.float32)
            cues[: len(trace.cues)] = trace.cues[:num_steps]
        known = torch.from_numpy(~np.isnan(cues))
        targets[row, :num_steps] = torch.from_numpy(np.nan_to_num(cues))
        weights[row, :num_steps] = known * weight * (1.0 if trace.harmful else harmless_weight)
    return torch.tensor([trace.reading for trace in traces]), steps, targets, weights
