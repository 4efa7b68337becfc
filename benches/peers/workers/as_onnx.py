"""A shape as an ONNX model, for ONNX Runtime, OpenVINO, tract and rten.

Sequences: x (T, B, I) -> y (T, B, D * H), from zero states. Steps: also h0, c0 of each layer as inputs and
hn, cn as outputs, (1, B, H), with T = 1. Gates go from i, f, g, o to ONNX's i, o, f, c, and from r, z, n to
z, r, h.
"""
import logging
import tempfile
from pathlib import Path

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from protocol import blocks

ORDER = {"lstm": [0, 3, 1, 2], "gru": [1, 0, 2], "gru_before": [1, 0, 2], "rnn_tanh": [0], "rnn_relu": [0]}
OPERATOR = {"lstm": "LSTM", "gru": "GRU", "gru_before": "GRU", "rnn_tanh": "RNN", "rnn_relu": "RNN"}


def states(shape):
    """Names of the state's inputs and outputs in a model of steps."""
    kinds = ["h", "c"] if shape.cell == "lstm" else ["h"]
    names = [f"{kind}{layer}" for layer in range(shape.layers) for kind in kinds]
    return [f"{name}_in" for name in names], [f"{name}_out" for name in names]


def quantized(model, per_channel=False):
    """The model with weights of int8, as ONNX Runtime's quantize_dynamic makes it: LSTM becomes
    DynamicQuantizeLSTM."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    logging.disable(logging.WARNING)
    with tempfile.TemporaryDirectory() as folder:
        plain, narrow = Path(folder) / "plain.onnx", Path(folder) / "narrow.onnx"
        plain.write_bytes(model)
        quantize_dynamic(plain, narrow, weight_type=QuantType.QInt8, per_channel=per_channel)
        return narrow.read_bytes()


def onnx_model(shape, parameters, step):
    """The model's bytes."""
    directions, hidden, order = shape.directions, shape.hidden, ORDER[shape.cell]
    steps = 1 if step else shape.steps
    nodes, constants, current = [], [], "x"

    def constant(name, array):
        constants.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    for layer in range(shape.layers):
        cells = parameters[layer * directions : (layer + 1) * directions]
        w, r = (np.stack([blocks(cell[k], order) for cell in cells]) for k in (0, 1))
        b = np.stack([np.concatenate([blocks(cell[2], order), blocks(cell[3], order)]) for cell in cells])
        inputs = [current, *(constant(f"{name}{layer}", array) for name, array in zip("WRB", (w, r, b)))]
        outputs = [f"all{layer}"]
        if step:
            inputs += ["", f"h{layer}_in"] + ([f"c{layer}_in"] if shape.cell == "lstm" else [])
            outputs += [f"h{layer}_out"] + ([f"c{layer}_out"] if shape.cell == "lstm" else [])
        settings = {"hidden_size": hidden, "direction": "bidirectional" if directions == 2 else "forward"}
        if OPERATOR[shape.cell] == "GRU":
            settings["linear_before_reset"] = int(shape.cell == "gru")
        if OPERATOR[shape.cell] == "RNN":
            settings["activations"] = ["Relu" if shape.cell == "rnn_relu" else "Tanh"] * directions
        nodes.append(helper.make_node(OPERATOR[shape.cell], inputs, outputs, **settings))
        # (T, D, B, H) to (T, B, D * H)
        below = outputs[0]
        if directions == 2:
            nodes.append(helper.make_node("Transpose", [below], [f"turned{layer}"], perm=[0, 2, 1, 3]))
            below = f"turned{layer}"
        to = constant(f"to{layer}", np.array([steps, shape.batch, directions * hidden], np.int64))
        current = "y" if layer == shape.layers - 1 else f"y{layer}"
        nodes.append(helper.make_node("Reshape", [below, to], [current]))

    def value(name, *sizes):
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, list(sizes))

    incoming, outgoing = states(shape) if step else ([], [])
    state = (1, shape.batch, hidden)
    graph = helper.make_graph(
        nodes,
        "recurrent",
        [value("x", steps, shape.batch, shape.input)] + [value(name, *state) for name in incoming],
        [value("y", steps, shape.batch, directions * hidden)] + [value(name, *state) for name in outgoing],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 9
    return model.SerializeToString()
