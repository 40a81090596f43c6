"""Writes the fitted student as ONNX graphs.

The screen's graph carries its calibration in its head. The encoder is exported in fp32 and then
quantised to int8 (weights; activations as they come), which halves its time and quarters its size.
"""

import copy
import json
import logging
import tempfile
import warnings
from pathlib import Path
from typing import Any

import onnx
import torch
from onnxruntime.quantization import QuantType, quantize_dynamic
from torch import Tensor, nn

from ..guard.screen import PIECES_PER_WORD
from ..guard.student_folder import FORMAT
from .encoder_model import EncoderModel
from .screen_model import ScreenModel

_OPSET = 17


class ScreenStep(nn.Module):
    """The look-up of words, one recurrent step and its weights, side by side in one graph."""

    table: Tensor

    def __init__(self, model: ScreenModel, scale: float, bias: float) -> None:
        super().__init__()
        self.register_buffer("table", model.table.half())
        self.recurrent = model.recurrent
        self.heads = copy.deepcopy(model.heads)
        with torch.no_grad():
            self.heads.weight[0] *= scale
            self.heads.bias[0] = self.heads.bias[0] * scale + bias

    def forward(self, words: Tensor, gates: Tensor, state: Tensor) -> tuple[Tensor, ...]:
        """Pieces `[m, PIECES_PER_WORD]` to what they add to the gates; such gates and states
        `[n, ...]` to new states and log-odds; the weights of that step. See `guard.screen`."""
        net: Any = self.recurrent
        width = net.hidden_size
        # Of the recurrent biases only the last third is inside the reset gate's product.
        split = 2 * width
        bias = net.bias_ih_l0 + torch.cat(
            [net.bias_hh_l0[:split], torch.zeros_like(net.bias_hh_l0[split:])]
        )
        count = (words > 0).float().sum(1, keepdim=True).clamp(min=1.0)
        vector = self.table[words].float().sum(1) / count
        word_gates = vector @ net.weight_ih_l0.T + bias
        recurrent, recurrent_bias = net.weight_hh_l0.T * 1.0, net.bias_hh_l0[split:] * 1.0
        held = state @ recurrent
        reset = torch.sigmoid(gates[:, :width] + held[:, :width])
        keep = torch.sigmoid(gates[:, width:split] + held[:, width:split])
        new = torch.tanh(gates[:, split:] + reset * (held[:, split:] + recurrent_bias))
        hidden = new + keep * (state - new)
        heads, heads_bias = self.heads.weight.T * 1.0, self.heads.bias * 1.0
        log_odds = hidden @ heads + heads_bias
        return word_gates, hidden, log_odds, recurrent, recurrent_bias, heads, heads_bias


def export_screen(model: ScreenModel, path: Path, *, scale: float, bias: float) -> None:
    """Writes the screen's graph, its first head's log-odds calibrated by scale and bias."""
    step = ScreenStep(model, scale, bias).eval()
    words = torch.ones(2, PIECES_PER_WORD, dtype=torch.long)
    gates = torch.zeros(3, 3 * model.width)
    state = torch.zeros(3, model.width)
    axes = {
        "words": {0: "words"}, "word_gates": {0: "words"}, "gates": {0: "streams"},
        "state": {0: "streams"}, "new_state": {0: "streams"}, "log_odds": {0: "streams"},
    }  # fmt: skip
    outputs = ["word_gates", "new_state", "log_odds", "recurrent", "recurrent_bias", "heads"]
    outputs.append("heads_bias")
    _export(step, (words, gates, state), path, ["words", "gates", "state"], outputs, axes)
    _rename_outputs(path, outputs)
    _finish(path, {"kind": "screen"})


def _rename_outputs(path: Path, names: list[str]) -> None:
    """Gives the outputs their names back: the exporter drops those of outputs that are weights."""
    graph = onnx.load(path)
    for output, name in zip(graph.graph.output, names, strict=True):
        if output.name != name:
            graph.graph.node.append(onnx.helper.make_node("Identity", [output.name], [name]))
            output.name = name
    onnx.save(graph, path)


def export_encoder(model: EncoderModel, path: Path, *, int8: bool = True) -> None:
    """Writes the encoder's graph, quantised unless `int8` is off."""
    ids = torch.tensor([[101, 2129, 2079, 102], [101, 2003, 102, 0]])
    mask = (ids > 0).long()
    names = ["input_ids", "attention_mask", "token_type_ids"]
    with tempfile.TemporaryDirectory() as folder:
        full = Path(folder) / "encoder.onnx"
        target = full if int8 else path
        segments = torch.tensor([[0, 0, 1, 1], [0, 0, 0, 0]])
        axes = {name: {0: "rows", 1: "length"} for name in names} | {"log_odds": {0: "rows"}}
        _export(model.eval(), (ids, mask, segments), target, names, ["log_odds"], axes)
        if int8:
            # onnxruntime tells, for every tensor, that dynamic scales are not known in advance.
            logging.getLogger().addFilter(_no_scales)
            quantize_dynamic(
                str(full), str(path), weight_type=QuantType.QInt8, per_channel=True,
                reduce_range=True,
            )  # fmt: skip
            logging.getLogger().removeFilter(_no_scales)
    _finish(path, {"kind": "encoder", "int8": int8})


def _no_scales(record: logging.LogRecord) -> bool:
    return "Quantization parameters" not in record.getMessage()


def _export(
    model: nn.Module,
    example: tuple[Tensor, ...],
    path: Path,
    inputs: list[str],
    outputs: list[str],
    dynamic: dict[str, dict[int, str]],
) -> None:
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
