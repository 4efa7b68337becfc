"""TensorFlow through Keras: keras.layers in a tf.function, compiled by XLA or not. Batch-first, as Keras has
it."""
import argparse
import os

arguments = argparse.ArgumentParser()
arguments.add_argument("--threads", type=int, required=True)
args = arguments.parse_args()
os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["CUDA_VISIBLE_DEVICES"] = ""
os.environ["OMP_NUM_THREADS"] = str(args.threads)

import numpy as np
import tensorflow as tf

tf.config.threading.set_intra_op_parallelism_threads(args.threads)
tf.config.threading.set_inter_op_parallelism_threads(args.threads)

import keras
from protocol import Skip, Variant, blocks, serve

# Our gates in Keras's order, and back; a permutation that is its own inverse.
ORDER = {"lstm": [0, 1, 2, 3], "gru": [1, 0, 2], "gru_before": [1, 0, 2], "rnn_tanh": [0], "rnn_relu": [0]}


def make(kind, shape, **settings):
    """A layer ("LSTM") or a cell ("LSTMCell") of Keras."""
    if shape.cell.startswith("gru"):
        settings["reset_after"] = shape.cell == "gru"
    if shape.cell.startswith("rnn"):
        settings["activation"] = shape.cell[4:]
    name = {"lstm": "LSTM", "gru": "GRU"}.get(shape.cell[:4].rstrip("_"), "SimpleRNN")
    return getattr(keras.layers, name + kind)(shape.hidden, **settings)


def to_keras(shape, cell):
    order = ORDER[shape.cell]
    w, r, b_ih, b_hh = (blocks(part, order) for part in cell)
    bias = np.stack([b_ih, b_hh]) if shape.cell == "gru" else b_ih + b_hh
    return [w.T, r.T, bias]


def from_keras(shape, kernel, recurrent, bias):
    order = ORDER[shape.cell]
    biases = bias if shape.cell == "gru" else (bias, bias)
    return [blocks(np.asarray(part), order) for part in (kernel.T, recurrent.T, *biases)]


def prepare(shape, mode, x, parameters, request):
    tf.keras.backend.clear_session()
    if mode == "step":
        return prepare_step(shape, x, parameters)
    layers, ours = [], []
    for layer in range(shape.layers):
        one = make("", shape, return_sequences=True)
        if shape.directions == 2:
            one = keras.layers.Bidirectional(one)
        layers.append(one)
    model = keras.Sequential([keras.Input((shape.steps, shape.input), batch_size=shape.batch), *layers])
    for layer, one in enumerate(layers):
        parts = [one.forward_layer, one.backward_layer] if shape.directions == 2 else [one]
        for direction, part in enumerate(parts):
            part.set_weights(to_keras(shape, parameters[layer * shape.directions + direction]))
            ours += [variable.value for variable in part.cell.trainable_variables]
    x = tf.constant(np.ascontiguousarray(x.transpose(1, 0, 2)))

    def forward(z):
        return model(z, training=False)

    def train(z):
        with tf.GradientTape() as tape:
            tape.watch(z)
            y = model(z, training=True)
            total = tf.reduce_sum(y)
        return [y, *tape.gradient(total, [z, *ours])]

    def time_major(array):
        return np.asarray(array).transpose(1, 0, 2)

    def variant(label, jit):
        function = tf.function(forward if mode == "fwd" else train, jit_compile=jit)
        # The first of the results is fetched, so that a call ends when it is done.
        call = (
            (lambda: function(x).numpy())
            if mode == "fwd"
            else (lambda: [g.numpy() for g in function(x)[1:2]])
        )

        def results():
            if mode == "fwd":
                return [time_major(function(x))]
            y, dx, *gradients = function(x)
            flat = [time_major(y), time_major(dx)]
            gradients = [np.asarray(g) for g in gradients]
            for k in range(0, len(gradients), 3):
                flat += from_keras(shape, *gradients[k : k + 3])
            return [array.ravel() for array in flat]

        return Variant(label, call, results)

    return [variant("graph", False), variant("XLA", True)]


def prepare_step(shape, x, parameters):
    if shape.directions == 2:
        raise Skip("a stream has no end to start from")
    cells = [make("Cell", shape) for _ in range(shape.layers)]
    for layer, (cell, given) in enumerate(zip(cells, parameters)):
        cell.build((shape.batch, shape.layer_input(layer)))
        cell.set_weights(to_keras(shape, given))
    kinds = 2 if shape.cell == "lstm" else 1
    frames = [tf.constant(frame) for frame in x]
    zeros = [[tf.zeros((shape.batch, shape.hidden))] * kinds for _ in cells]

    def step(frame, states):
        after = []
        for cell, state in zip(cells, states):
            frame, state = cell(frame, state)
            after.append(list(state))
        return frame, after

    def variant(label, jit):
        function = tf.function(step, jit_compile=jit)
        held = [zeros]

        def call():
            y, held[0] = function(frames[0], held[0])
            return y.numpy()

        def results():
            state, outputs = zeros, []
            for frame in frames:
                y, state = function(frame, state)
                outputs.append(y.numpy())
            return outputs

        return Variant(label, call, results)

    return [variant("graph", False), variant("XLA", True)]


serve(
    "tensorflow",
    f"{tf.__version__} (Keras {keras.__version__})",
    "tf.function, plain or XLA, the faster",
    prepare,
)
