"""Outputs, states and all gradients of every golden file of PyTorch, through the NumPy API.

The files are computed in float64 (tests/golden/README.md): every cell, option, structure and layout.
"""

import re

import numpy as np
import pytest

import fused_rnn
from golden import close, files, read

ACTIVATIONS = {
    "Sigmoid": "sigmoid",
    "Tanh": "tanh",
    "Relu": "relu",
    "LeakyRelu": "leaky_relu",
    "ThresholdedRelu": "thresholded_relu",
    "ScaledTanh": "scaled_tanh",
    "HardSigmoid": "hard_sigmoid",
    "Elu": "elu",
    "Softsign": "softsign",
    "Softplus": "softplus",
    "Affine": "affine",
}
KINDS = {
    "lstm": "lstm",
    "gru": "gru",
    "gru_before": "gru_reset_before",
    "rnn_tanh": "rnn_tanh",
    "rnn_relu": "rnn_relu",
    **{name: name for name in ("min_gru", "min_lstm", "ind_rnn", "lstm_mult", "slstm")},
}
GATES = {"lstm": 4, "slstm": 4, "lstm_mult": 5, "gru": 3, "gru_before": 3, "min_lstm": 3, "min_gru": 2}


def activation(said):
    name, *parameters = said.split(":")
    return (ACTIVATIONS[name], *map(float, parameters)) if parameters else ACTIVATIONS[name]


def network(metadata, tensors):
    """The network of a file, with its parameters."""
    options = {
        "num_layers": int(metadata["layers"]),
        "direction": "both" if metadata["bidirectional"] == "true" else "forward",
        "batch_first": metadata["batch_first"] == "true",
        "bias": "bias_ih_l0" in tensors,
        "peephole": "peephole_l0" in tensors,
        "coupled": metadata.get("input_forget") == "true",
        "proj_size": int(metadata.get("proj_size", 0)),
    }
    options |= {name: float(metadata[name]) for name in ("clip", "cell_clip") if name in metadata}
    if "activations" in metadata:
        options["activations"] = [activation(said) for said in metadata["activations"].split(",")]
    gates, inputs = tensors["weight_ih_l0"].shape
    hidden = gates // GATES.get(metadata["cell"], 1)
    if metadata["cell"] == "slstm":
        options["heads"] = hidden // tensors["weight_hh_l0"].shape[1]
    made = fused_rnn.Network(KINDS[metadata["cell"]], inputs, hidden, **options)
    made.set_parameters({name: tensors[name] for name in made.parameters()})
    return made


def state(tensors, cell):
    if "h0" not in tensors:
        return None
    if cell == "slstm":  # (Of which the files have h alone.)
        return (tensors["h0"], *[np.zeros_like(tensors["h0"])] * 3)
    return (tensors["h0"], tensors["c0"]) if "c0" in tensors else tensors["h0"]


def parts(state):
    return state if isinstance(state, tuple) else (state,)


PATHS = files("torch") + files("cells") + files("xlstm")


@pytest.mark.parametrize("path", PATHS, ids=lambda path: f"{path.parent.stem}-{path.stem}")
def test_values_and_gradients(path):
    metadata, tensors = read(path)
    net = network(metadata, tensors)
    x, start, lengths = tensors["x"], state(tensors, metadata["cell"]), tensors.get("lengths")
    y, end, tape = net.forward_train(x, start, lengths=lengths)
    close(y, tensors["y"], "y")
    for name, got in zip(("hn", "cn"), parts(end)):
        if name in tensors:
            close(got, tensors[name], name)
    inferred, inferred_end = net(x, start, lengths=lengths)
    assert (inferred == y).all() and all((a == b).all() for a, b in zip(parts(inferred_end), parts(end)))

    zeros = [np.zeros_like(part) for part in parts(end)[:2]]
    upstream = [tensors.get(name, zero) for name, zero in zip(("dhn", "dcn"), zeros)]
    upstream = tuple(upstream) if len(upstream) == 2 else upstream[0]
    gradients = net.backward(x, tape, tensors.get("dy"), upstream)
    for name, got in gradients.parameters.items():
        scale = max(1.0, float(np.abs(tensors[f"grad.{name}"]).max()))
        close(got, tensors[f"grad.{name}"], name, scale * 4)
    close(gradients.x, tensors["grad.x"], "x", 4)
    if start is not None:
        for name, got in zip(("h0", "c0"), parts(gradients.state)):
            if name in tensors:
                close(got, tensors[f"grad.{name}"], name, 4)


def test_every_option_of_the_files_is_among_them():
    names = " ".join(path.stem for path in files("torch"))
    for part in ("peep", "cifg", "clip", "cellclip", "act", "bi", "bf", "nobias", "state", "len", "zero"):
        assert re.search(rf"_{part}(_|\d|\b)", names), part
