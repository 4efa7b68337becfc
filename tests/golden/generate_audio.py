"""Models of audio plug-ins, in tests/golden/audio/: files of RTNeural, AIDA-X, GuitarML and NAM, each with an
input and an output.

What: `NAME.json` or `NAME.nam` in the form that the plug-in reads, and `NAME.safetensors` with `x` (T, I) and
`y` (T, O).
Why: whether order of gates, transposes, skip connection, gains and initial states are right. RTNeural's
layers are computed by Keras, the others by PyTorch, in float64 from weights that are floats, rounded.

usage: python tests/golden/generate_audio.py
needs: numpy, keras, torch (versions: benches/peers/requirements.txt)
"""
import os

os.environ["KERAS_BACKEND"] = "torch"

import json

import golden
import keras
import numpy as np
import torch

STEPS = 50
layers = keras.layers
keras.config.set_floatx("float64")
torch.set_default_dtype(torch.float64)


def listed(array):
    """An array as JSON; each number is a float."""
    return np.asarray(array, np.float32).astype(np.float64).tolist()


def write(file, model, x, y, source):
    """A model with its input (T, I) and output (T, O)."""
    directory = golden.HERE / "audio"
    directory.mkdir(exist_ok=True)
    (directory / file).write_text(json.dumps(model, separators=(",", ":")) + "\n")
    name = file.rsplit(".", 1)[0]
    tensors = {"x": np.asarray(x, np.float32), "y": np.asarray(y, np.float32)}
    golden.save(directory / f"{name}.safetensors", {"precision": "float64", "source": source}, tensors)


def rtneural(name, inputs, stack, skip=False, gains=(0.0, 0.0), **more):
    """A stack of Keras's layers in RTNeural's form; `skip` and `gains` as AIDA-X has them."""
    stream = golden.random(name)
    model = keras.Sequential([keras.Input((None, inputs)), *stack])
    shapes = [weight.shape for weight in model.get_weights()]
    model.set_weights([golden.uniform(stream, *shape, limit=0.7).astype("float64") for shape in shapes])
    described = []
    for layer in model.layers:
        activation = getattr(layer, "activation", None)
        activation = keras.activations.serialize(activation) if activation is not None else ""
        described.append(
            {
                "type": type(layer).__name__.lower(),
                "activation": "" if activation == "linear" else activation,
                "shape": list(layer.output.shape),
                "weights": [listed(weight) for weight in layer.get_weights()],
            }
        )
    x = golden.uniform(stream, STEPS, inputs)
    factors = [10 ** (np.float64(np.float32(gain)) / 20) for gain in gains]
    scaled = x.astype("float64") * factors[0]
    y = model.predict(scaled[None], verbose=0)[0] + (scaled[:, :1] if skip else 0)
    file = {"in_shape": [None, None, inputs], "layers": described, **more}
    if skip:
        file["in_skip"] = 1
    for key, gain in zip(("in_gain", "out_gain"), gains):
        if gain:
            file[key] = gain
    write(f"{name}.json", file, x, y * factors[1], f"keras {keras.__version__}")


rtneural("rtneural_lstm", 1, [layers.LSTM(8, return_sequences=True), layers.Dense(1)])
rtneural(
    "rtneural_gru_between_dense",
    1,
    [
        layers.Dense(6, activation="tanh"),
        layers.GRU(9, return_sequences=True),
        layers.Dense(5),
        layers.Activation("elu"),
        layers.Dense(2, activation="sigmoid"),
    ],
)
rtneural(
    "rtneural_two_lstms",
    2,
    [
        layers.LSTM(7, return_sequences=True),
        layers.LSTM(5, return_sequences=True),
        layers.Dense(1, activation="relu"),
    ],
    samplerate="44100",
)
rtneural(
    "aidax_skip",
    2,
    [layers.LSTM(12, return_sequences=True), layers.Dense(1)],
    skip=True,
    gains=(-3.5, 6.0),
    metadata={"name": "skip", "samplerate": "48000"},
)
rtneural("aidax_gain", 1, [layers.GRU(8, return_sequences=True), layers.Dense(1)], gains=(0.0, -12.0))


def module(stream, made):
    """A module of PyTorch with values of floats."""
    for parameter in made.parameters():
        values = golden.uniform(stream, *parameter.shape, limit=0.6).astype("float64")
        parameter.data = torch.from_numpy(values)
    return made


def guitarml(name, unit, inputs, units, layers, skip):
    stream = golden.random(name)
    rec = module(stream, getattr(torch.nn, unit)(inputs, units, layers, batch_first=True))
    lin = module(stream, torch.nn.Linear(units, 1))
    x = golden.uniform(stream, STEPS, inputs)
    with torch.no_grad():
        given = torch.from_numpy(x.astype("float64"))[None]
        y = lin(rec(given)[0]) + (given[..., :1] if skip else 0)
    parameters = [(f"rec.{key}", value) for key, value in rec.state_dict().items()]
    parameters += [(f"lin.{key}", value) for key, value in lin.state_dict().items()]
    data = {
        "model": "SimpleRNN",
        "input_size": inputs,
        "skip": int(skip),
        "output_size": 1,
        "unit_type": unit,
        "num_layers": layers,
        "hidden_size": units,
        "bias_fl": True,
    }
    file = {"model_data": data, "state_dict": {key: listed(value) for key, value in parameters}}
    write(f"{name}.json", file, x, y[0], f"torch {torch.__version__.split('+')[0]}")


guitarml("guitarml_lstm", "LSTM", 1, 10, 1, True)
guitarml("guitarml_gru", "GRU", 2, 6, 2, False)


def nam(name, units, layers, outputs=1):
    stream = golden.random(name)
    rec = module(stream, torch.nn.LSTM(1, units, layers, batch_first=True))
    lin = module(stream, torch.nn.Linear(units, outputs))
    h0, c0 = (torch.from_numpy(golden.uniform(stream, layers, 1, units).astype("float64")) for _ in range(2))
    weights = []
    for layer in range(layers):
        getattr(rec, f"bias_hh_l{layer}").data.zero_()  # the file has one bias
        matrices = [getattr(rec, f"weight_{side}_l{layer}").detach().numpy() for side in ("ih", "hh")]
        weights += [np.concatenate(matrices, 1), getattr(rec, f"bias_ih_l{layer}").detach().numpy()]
        weights += [h0[layer].numpy(), c0[layer].numpy()]
    weights += [lin.weight.detach().numpy(), lin.bias.detach().numpy()]
    x = golden.uniform(stream, STEPS, 1)
    with torch.no_grad():
        y = lin(rec(torch.from_numpy(x.astype("float64"))[None], (h0, c0))[0])[0]
    config = {"input_size": 1, "hidden_size": units, "num_layers": layers}
    if outputs > 1:
        config |= {"in_channels": 1, "out_channels": outputs}
    file = {
        "version": "0.5.4",
        "metadata": {"name": name},
        "architecture": "LSTM",
        "config": config,
        "weights": [value for array in weights for value in listed(array.ravel())],
        "sample_rate": 48000,
    }
    write(f"{name}.nam", file, x, y, f"torch {torch.__version__.split('+')[0]}")


nam("nam_lstm", 3, 1)
nam("nam_two_layers", 5, 2, outputs=2)
