"""Writes the fitted student as ONNX graphs, and checks them against torch.

The screen's graph carries the calibration in it, so that its probability needs no arithmetic in
Python a token. The encoder is exported in fp32 and then quantised to int8 (weights; activations as
they come), which halves its time and quarters its size.
"""

import json
import tempfile
import warnings
from pathlib import Path

import numpy as np
import onnx
import torch
from onnxruntime.quantization import QuantType, quantize_dynamic
from torch import Tensor, nn

from ..guard.belief import BeliefWeights
from ..guard.screen import NUM_CONTEXT, PIECES_PER_WORD
from ..guard.student_folder import FORMAT
from .encoder_model import EncoderModel
from .screen_model import ScreenModel

_OPSET = 17


class ScreenStep(nn.Module):
    """One unit of every stream: the recurrent cell written out, with the beliefs multiplied in."""

    def __init__(self, model: ScreenModel, weights: BeliefWeights) -> None:
        super().__init__()
        self.register_buffer("table", model.table.half())
        cell = model.recurrent
        self.register_buffer("input_weight", cell.weight_ih_l0.detach().T.contiguous())
        self.register_buffer("hidden_weight", cell.weight_hh_l0.detach().T.contiguous())
        self.register_buffer("input_bias", cell.bias_ih_l0.detach())
        self.register_buffer("hidden_bias", cell.bias_hh_l0.detach())
        self.heads = model.heads
        self.width = model.width
        self.weights = weights

    def forward(self, words: Tensor, state: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Words `[n, PIECES_PER_WORD]`, state `[n, width + NUM_CONTEXT]`; see `guard.screen`."""
        hidden, context = state[:, : self.width], state[:, self.width :]
        count = (words > 0).float().sum(1, keepdim=True).clamp(min=1.0)
        vector = self.table[words].float().sum(1) / count
        read = vector @ self.input_weight + self.input_bias
        kept = hidden @ self.hidden_weight + self.hidden_bias
        width = self.width
        gates = torch.sigmoid(read[:, : 2 * width] + kept[:, : 2 * width])
        reset, update = gates[:, :width], gates[:, width:]
        fresh = torch.tanh(read[:, 2 * width :] + reset * kept[:, 2 * width :])
        hidden = fresh + update * (hidden - fresh)
        log_odds = self.heads(hidden)
        cue, alarm = log_odds[:, 0], log_odds[:, 1]
        weights = self.weights
        goes_along = torch.sigmoid(weights.screen_scale * cue + weights.screen_bias + context[:, 1])
        product = (context[:, 0] * goes_along).clamp(1e-7, 1 - 1e-7)
        probability = torch.sigmoid(
            weights.final_scale * (torch.log(product) - torch.log1p(-product)) + weights.final_bias
        )
        capped = probability.clamp(max=weights.inside_limit)
        probability = torch.where(probability >= weights.inside_sure, probability, capped)
        return torch.cat([hidden, context], dim=1), probability, cue, torch.sigmoid(alarm)


def export_screen(model: ScreenModel, weights: BeliefWeights, path: Path) -> None:
    """Writes the screen's graph."""
    step = ScreenStep(model, weights).eval()
    words = torch.ones(2, PIECES_PER_WORD, dtype=torch.long)
    state = torch.zeros(2, model.width + NUM_CONTEXT)
    outputs = ["new_state", "probability", "cue", "alarm"]
    _export(step, (words, state), path, ["words", "state"], outputs, batch_only=True)
    _finish(path, {"kind": "screen"})


def export_encoder(model: EncoderModel, path: Path, *, int8: bool = True) -> None:
    """Writes the encoder's graph, quantised unless `int8` is off."""
    ids = torch.tensor([[101, 2129, 2079, 102], [101, 2003, 102, 0]])
    mask = (ids > 0).long()
    names = ["input_ids", "attention_mask", "token_type_ids"]
    with tempfile.TemporaryDirectory() as folder:
        full = Path(folder) / "encoder.onnx"
        target = full if int8 else path
        segments = torch.tensor([[0, 0, 1, 1], [0, 0, 0, 0]])
        _export(model.eval(), (ids, mask, segments), target, names, ["log_odds"])
        if int8:
            quantize_dynamic(
                str(full), str(path), weight_type=QuantType.QInt8, per_channel=True,
                reduce_range=True,
            )  # fmt: skip
    _finish(path, {"kind": "encoder", "int8": int8})


def _export(
    model: nn.Module,
    example: tuple[Tensor, ...],
    path: Path,
    inputs: list[str],
    outputs: list[str],
    *,
    batch_only: bool = False,
) -> None:
    axes = {0: "streams"} if batch_only else {0: "rows", 1: "length"}
    dynamic = dict.fromkeys(inputs, axes) | {name: {0: "streams"} for name in outputs}
    with warnings.catch_warnings():
        # The tracing exporter is marked as legacy; its graphs are the smaller and faster here.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            model, example, str(path), input_names=inputs, output_names=outputs,
            dynamic_axes=dynamic, opset_version=_OPSET, dynamo=False,
        )  # fmt: skip


def _finish(path: Path, facts: dict[str, object]) -> None:
    """Writes the format version and what the graph is into the file, and checks the graph."""
    graph = onnx.load(path)
    onnx.helper.set_model_props(graph, {"rerail": json.dumps({"format": FORMAT, **facts})})
    onnx.checker.check_model(graph)
    onnx.save(graph, path)


def largest_difference(left: np.ndarray, right: np.ndarray) -> float:
    """The largest absolute difference, the measure of parity."""
    return float(np.abs(left - right).max()) if left.size else 0.0
