"""PyTorch: nn.LSTM, nn.GRU, nn.RNN (for steps also the cells), with and without oneDNN behind them; in bf16
(weights, inputs and states; training also by autocast of f32), and in int8 by quantize_dynamic."""
import argparse
import copy
import os
import warnings

arguments = argparse.ArgumentParser()
arguments.add_argument("--threads", type=int, required=True)
args = arguments.parse_args()
os.environ["OMP_NUM_THREADS"] = str(args.threads)

import numpy as np
import torch
from protocol import PRECISION, Skip, Variant, serve

torch.set_num_threads(args.threads)
LAYERS = {"lstm": torch.nn.LSTM, "gru": torch.nn.GRU, "rnn_tanh": torch.nn.RNN, "rnn_relu": torch.nn.RNN}
CELLS = {
    "lstm": torch.nn.LSTMCell,
    "gru": torch.nn.GRUCell,
    "rnn_tanh": torch.nn.RNNCell,
    "rnn_relu": torch.nn.RNNCell,
}


def load(module, parameters):
    with torch.no_grad():
        for own, given in zip(module.parameters(), (p for cell in parameters for p in cell), strict=True):
            own.copy_(torch.from_numpy(given.copy()))
    return module


def narrow(module):
    """The module in the precision of this process."""
    if PRECISION == "bf16":
        return module.to(torch.bfloat16)
    if PRECISION == "int8":
        kinds = {type(module)}
        if kinds == {torch.nn.RNN}:
            raise Skip("quantize_dynamic has no nn.RNN")
        warnings.simplefilter("ignore")
        return torch.ao.quantization.quantize_dynamic(
            torch.nn.Sequential(module).eval(), kinds, dtype=torch.qint8
        )[0]
    return module


def prepare(shape, mode, x, parameters, request):
    if shape.cell not in LAYERS:
        raise Skip("PyTorch has no GRU that resets before the product")
    kind = {"nonlinearity": shape.cell[4:]} if shape.cell.startswith("rnn") else {}
    layer = LAYERS[shape.cell](
        shape.input, shape.hidden, shape.layers, bidirectional=shape.directions == 2, **kind
    )
    load(layer, parameters)
    if mode == "train" and PRECISION == "int8":
        raise Skip("int8 is for inference")
    wide, layer = copy.deepcopy(layer), narrow(layer)
    x = torch.from_numpy(x.copy())
    x_wide = x
    if PRECISION == "bf16":
        x = x.to(torch.bfloat16)
    lengths = shape.lengths()
    if lengths is not None and min(lengths) == 0:
        raise Skip("PyTorch packs no empty rows")

    def run(x):
        if lengths is None:
            return layer(x)[0]
        packed = torch.nn.utils.rnn.pack_padded_sequence(x, lengths, enforce_sorted=False)
        return torch.nn.utils.rnn.pad_packed_sequence(layer(packed)[0], total_length=shape.steps)[0]

    def forward():
        with torch.inference_mode():
            return run(x)

    def in_f32(tensors):
        return [tensor.float() for tensor in tensors]

    x_train = x.clone().requires_grad_(True)
    ones = torch.ones(shape.steps, shape.batch, shape.directions * shape.hidden, dtype=x.dtype)

    def train():
        for parameter in layer.parameters():
            parameter.grad = None
        x_train.grad = None
        y = run(x_train)
        y.backward(ones)
        return y

    def train_results():
        y = train().detach().clone()
        return in_f32([y, x_train.grad, *(p.grad for p in layer.parameters())])

    x_autocast = x_wide.clone().requires_grad_(True)
    ones_wide = ones.float()

    def train_autocast():
        for parameter in wide.parameters():
            parameter.grad = None
        x_autocast.grad = None
        with torch.autocast("cpu", torch.bfloat16):
            y = wide(x_autocast)[0]
        y.backward(ones_wide.to(y.dtype))
        return y

    def train_autocast_results():
        y = train_autocast().detach().clone()
        return in_f32([y, x_autocast.grad, *(p.grad for p in wide.parameters())])

    def steps(advance):
        """A call that takes one step on a state, and all steps from zero."""
        held = [None]

        def one():
            with torch.inference_mode():
                _, held[0] = advance(x[0], held[0])

        def all_():
            with torch.inference_mode():
                held[0], outputs = None, []
                for frame in x:
                    y, held[0] = advance(frame, held[0])
                    outputs.append(y.reshape(shape.batch, -1).clone())
            return in_f32([torch.stack(outputs)])

        return one, all_

    def with_onednn(enabled, function):
        def call():
            torch.backends.mkldnn.set_flags(enabled)
            return function()

        return call

    if mode == "step":
        if shape.directions == 2:
            raise Skip("a stream has no end to start from")

        def advance_layer(frame, state):
            return layer(frame[None], state)

        ways = {"nn layer": advance_layer}
        if shape.layers == 1:
            cell = narrow(load(CELLS[shape.cell](shape.input, shape.hidden, **kind), parameters))

            def advance_cell(frame, state):
                state = cell(frame, state)
                return (state[0] if shape.cell == "lstm" else state), state

            ways["cell"] = advance_cell
        made = {name: steps(way) for name, way in ways.items()}
    elif mode == "train":
        made = {"nn layer": (train, train_results)}
        if PRECISION == "bf16" and lengths is None:
            made["autocast"] = (train_autocast, train_autocast_results)
    else:
        layer.eval()
        made = {"nn layer": (forward, lambda: in_f32([forward()]))}
    return [
        Variant(f"{name}, oneDNN {'on' if on else 'off'}", with_onednn(on, call), with_onednn(on, results))
        for name, (call, results) in made.items()
        for on in ((True, False) if shape.cell == "lstm" and name == "nn layer" and PRECISION != "int8" else (True,))
    ]


SETTINGS = {
    "f32": "inference_mode; oneDNN on or off and layer or cell, the faster",
    "bf16": "modules, inputs and states in bfloat16, training also by autocast; oneDNN on or off, the fastest",
    "int8": "quantize_dynamic to qint8; layer or cell, the faster",
}
serve("torch", torch.__version__, SETTINGS[PRECISION], prepare)
