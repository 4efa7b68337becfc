"""Golden files from Keras 3: LSTM, GRU and SimpleRNN in Keras's own convention, in tests/golden/keras/.

What: reset_after true and false, no bias, go_backwards, masks, zero_output_for_mask, initial states, every
elementwise activation, and Bidirectional with each merge mode, whole sequences and last outputs, forward
only.
Why: what a Keras model computes, to test the import of its weights with. Computed in float64 from f32 inputs
and then rounded. On TensorFlow, since Keras 3.15 falls into float32 in places on its other backends.
Form of the files: README.md beside this script.

usage: python tests/golden/generate_keras.py
needs: numpy, keras, tensorflow (versions: benches/peers/requirements.txt)
"""
import os

os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import json

import keras
import numpy as np

import golden

# Masks, (4, 5): to the ends of rows, and with gaps, at the beginning too, and a row of nothing else.
ENDS = np.arange(5)[None, :] < np.array([5, 2, 1, 3])[:, None]
GAPS = np.array([[1, 1, 0, 1, 0], [0, 0, 1, 1, 1], [0, 1, 0, 0, 1], [0, 0, 0, 0, 0]], bool)
# The elementwise functions of keras.activations (all but glu, log_softmax, softmax, sparsemax, and threshold,
# which has no defaults), and some with parameters, as `export_keras.py` writes them.
ACTIVATIONS = """relu leaky_relu relu6 celu elu selu softplus softsign squareplus soft_shrink sparse_plus
    silu swish gelu tanh_shrink sigmoid sparse_sigmoid exponential hard_sigmoid hard_silu hard_swish
    hard_tanh hard_shrink linear mish log_sigmoid leaky_relu:0.375 elu:0.75 soft_shrink:0.25
    hard_shrink:0.25 hard_sigmoid:0.2:0.5""".split()


def case(name, layer, b=4, t=5, i=3, h=5, state=False, mask=None, merge=None, limit=1.5, **options):
    """`merge`: the mode of Bidirectional, None for a single direction. `limit`: of x. `options` are the
    layer's own; those that begin with `backward_` are of the backward layer."""
    return name, layer, (b, t, i, h), state, mask, merge, limit, options


def activation(text):
    """The function of a name with parameters."""
    name, *parameters = text.split(":")
    parameters = [float(parameter) for parameter in parameters]
    if name == "hard_sigmoid" and parameters:
        return lambda x: keras.ops.clip(parameters[0] * x + parameters[1], 0, 1)
    return (lambda x: getattr(keras.activations, name)(x, *parameters)) if parameters else name


def cases():
    for name, layer, options in (
        ("lstm", "LSTM", {}),
        ("gru_after", "GRU", {"reset_after": True}),
        ("gru_before", "GRU", {"reset_after": False}),
        ("simple_rnn", "SimpleRNN", {}),
    ):
        yield case(f"{name}_plain", layer, **options)
        yield case(f"{name}_nobias", layer, use_bias=False, **options)
        yield case(f"{name}_state", layer, state=True, **options)
        yield case(f"{name}_mask", layer, mask=ENDS, **options)
        yield case(f"{name}_mask_state", layer, state=True, mask=ENDS, **options)
        yield case(f"{name}_backwards", layer, state=True, go_backwards=True, **options)
        # No initial state here: backends disagree on what the output holds before the first step that counts.
        yield case(f"{name}_backwards_mask", layer, mask=ENDS, go_backwards=True, **options)
        yield case(f"{name}_h17", layer, b=2, t=4, i=7, h=17, **options)
        yield case(f"{name}_one_step", layer, b=1, t=1, i=1, h=1, state=True, **options)
        yield case(f"{name}_gaps", layer, state=True, mask=GAPS, **options)
        yield case(f"{name}_gaps_backwards", layer, mask=GAPS, go_backwards=True, **options)
        yield case(f"{name}_gaps_zero", layer, state=True, mask=GAPS, zero_output_for_mask=True, **options)
        yield case(
            f"{name}_gaps_zero_backwards",
            layer,
            mask=GAPS,
            zero_output_for_mask=True,
            go_backwards=True,
            **options,
        )
        yield case(f"{name}_mask_zero", layer, mask=ENDS, zero_output_for_mask=True, **options)
        yield case(f"{name}_unroll", layer, state=True, mask=GAPS, unroll=True, **options)
        yield case(f"{name}_dropout", layer, state=True, dropout=0.25, recurrent_dropout=0.5, **options)
        yield case(f"{name}_bi_gaps", layer, merge="concat", state=True, mask=GAPS, **options)
        yield case(f"{name}_bi_apart", layer, merge="None", state=True, **options)
        yield case(f"{name}_bi_apart_gaps", layer, merge="None", mask=GAPS, **options)
        for merge in ("concat", "sum", "mul", "ave"):
            yield case(f"{name}_bi_{merge}", layer, merge=merge, state=merge == "concat", **options)
            yield case(f"{name}_bi_{merge}_mask", layer, merge=merge, mask=ENDS, **options)
    gates = {"activation": "softsign", "recurrent_activation": "hard_sigmoid"}
    yield case("lstm_activations", "LSTM", **gates)
    yield case("gru_after_activations", "GRU", reset_after=True, **gates)
    yield case("gru_before_activations", "GRU", reset_after=False, **gates)
    yield case("simple_rnn_relu", "SimpleRNN", activation="relu")
    # Each at the gates too, and with arguments on both sides of the kinks.
    for name in ACTIVATIONS:
        short = name.replace(":", "_").replace(".", "")
        yield case(f"activation_{short}", "SimpleRNN", b=2, t=3, limit=4.0, activation=name)
        yield case(f"gates_{short}", "LSTM", b=1, t=3, recurrent_activation=name)
    other = {"backward_activation": "silu", "backward_recurrent_activation": "hard_sigmoid"}
    yield case("lstm_bi_activations", "LSTM", merge="concat", **gates, **other)
    yield case("gru_after_bi_activations", "GRU", merge="sum", reset_after=True, **other)
    yield case("gru_before_bi_activations", "GRU", merge="sum", reset_after=False, **other)
    yield case(
        "simple_rnn_bi_activations",
        "SimpleRNN",
        merge="concat",
        activation="relu",
        backward_activation="gelu",
    )


def numpy_of(tensor):
    return keras.ops.convert_to_numpy(tensor)


def run(layer, sizes, merge, options, sequences, weights, inputs):
    """The outputs, [y, states ...]; with `weights` None, the cells of the layer as built instead."""
    options = {key: activation(value) if "activation" in key else value for key, value in options.items()}
    options |= {"return_sequences": sequences, "return_state": True}
    others = {
        key.removeprefix("backward_"): value for key, value in options.items() if key.startswith("backward_")
    }
    options = {key: value for key, value in options.items() if not key.startswith("backward_")}
    net = getattr(keras.layers, layer)(sizes[3], **options)
    layers = [net]
    if merge:
        back = (
            getattr(keras.layers, layer)(sizes[3], **(options | others), go_backwards=True)
            if others
            else None
        )
        net = keras.layers.Bidirectional(
            net, merge_mode=None if merge == "None" else merge, backward_layer=back
        )
    net.build((sizes[0], sizes[1], sizes[2]))
    if merge:
        layers = [net.forward_layer, net.backward_layer]
    if weights is None:
        return [each.cell for each in layers]
    for prefix, each in zip(("forward.", "backward.") if merge else ("",), layers):
        each.set_weights([weights[prefix + weight.name].astype("float64") for weight in each.cell.weights])
    state = [inputs[name].astype("float64") for name in inputs if "initial" in name]
    return [
        numpy_of(value)
        for value in net(
            keras.ops.convert_to_tensor(inputs["x"].astype("float64")),
            initial_state=[keras.ops.convert_to_tensor(value) for value in state] or None,
            mask=keras.ops.convert_to_tensor(inputs["mask"]) if "mask" in inputs else None,
        )
    ]


def main():
    keras.config.set_floatx("float64")
    directory = golden.clean("keras")
    for name, layer, sizes, state, mask, merge, limit, options in cases():
        path = directory / f"{name}.safetensors"
        assert not path.exists(), f"two cases are named {name}"
        b, t, i, h = sizes
        stream = golden.random(name)
        cells = run(layer, sizes, merge, options, True, None, None)
        prefixes = ("forward.", "backward.") if merge else ("",)
        weights = {
            prefix + weight.name: golden.uniform(stream, *weight.shape, limit=min(0.7, h**-0.5))
            for prefix, cell in zip(prefixes, cells)
            for weight in cell.weights
        }
        states = [
            f"{prefix}{part}" for prefix in prefixes for part in ("h", "c")[: 2 if layer == "LSTM" else 1]
        ]
        inputs = {"x": golden.uniform(stream, b, t, i, limit=limit)}
        if state:
            inputs |= {f"{each[:-1]}initial_{each[-1]}": golden.uniform(stream, b, h) for each in states}
        if mask is not None:
            inputs["mask"] = mask
        y, *final = run(layer, sizes, merge, options, True, weights, inputs)
        last, *same = run(layer, sizes, merge, options, False, weights, inputs)
        if merge == "None":
            y, last = np.stack([y, final.pop(0)]), np.stack([last, same.pop(0)])
        assert all(np.allclose(one, two) for one, two in zip(final, same, strict=True)), name
        results = {"y": y, "last": last} | dict(zip(states, final, strict=True))
        metadata = {
            "convention": "keras",
            "source": f"keras {keras.__version__} on {keras.backend.backend()}",
            "precision": "float64",
            "layer": layer,
            "units": str(h),
        }
        metadata |= {
            key: value if isinstance(value, str) else json.dumps(value) for key, value in options.items()
        }
        if merge:
            metadata["merge_mode"] = merge
        golden.save(
            path,
            metadata,
            weights | inputs | {key: value.astype("float32") for key, value in results.items()},
        )
    files = list(directory.glob("*.safetensors"))
    print(f"{len(files)} files, {sum(file.stat().st_size for file in files)} bytes in {directory.name}/")


if __name__ == "__main__":
    main()
