"""Golden files of whole models from Keras, written by examples/export_keras.py, in tests/golden/keras_files/.

What: a model within which two models have layers of one name; layers with every option that is exported, and
with what is refused; a model of Keras 2 as .h5, as weights with its architecture, and as weights with
`--layer`.
Why: what a user's file becomes on its way into the crate, names and options included. Each file is as the
script writes it, and has beside that inputs and results, `io/...`: Keras's, in float64 from f32 weights,
rounded.

usage: python tests/golden/generate_keras_files.py
needs: numpy, keras, tensorflow, tf-keras, h5py, safetensors (versions: benches/peers/requirements.txt)
"""
import os

os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import contextlib
import io
import json
import sys
import tempfile
from pathlib import Path

import golden
import h5py
import keras
import numpy as np
import tf_keras
from tf_keras.src.saving.legacy import hdf5_format

sys.path.insert(0, str(golden.HERE.parent.parent / "examples"))
import export_keras
import keras_h5

layers = keras.layers
GAPS = np.array([[1, 1, 0, 1, 0], [0, 0, 1, 1, 1], [0, 1, 0, 0, 1], [0, 0, 0, 0, 0]], bool)


def fill(model, name):
    """Weights of f32 that depend on a name."""
    stream = golden.random(name)
    model.set_weights(
        [golden.uniform(stream, *weight.shape, limit=0.6).astype("float64") for weight in model.get_weights()]
    )


def command(*arguments):
    """Runs the script; (metadata, tensors) of what it wrote, and what it printed."""
    with tempfile.TemporaryDirectory() as folder:
        out, printed = f"{folder}/out.safetensors", io.StringIO()
        sys.argv = ["export_keras.py", str(arguments[0]), out, *map(str, arguments[1:])]
        with contextlib.redirect_stdout(printed):
            export_keras.main()
        data = Path(out).read_bytes()
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + size])
    metadata = header.pop("__metadata__")
    array = lambda entry: np.frombuffer(data[8 + size :][slice(*entry["data_offsets"])], "<f4").reshape(
        entry["shape"]
    )
    return metadata, {name: array(entry) for name, entry in header.items()}, printed.getvalue()


def refusal(*arguments):
    """What the script says as it refuses."""
    try:
        command(*arguments)
    except SystemExit as error:
        return str(error)
    raise AssertionError(f"not refused: {arguments}")


def values(results):
    return {f"io/{name}": np.asarray(value).astype("float32") for name, value in results.items()}


def same_without_keras(path, metadata, tensors, but=None):
    """Whether a .keras file that Keras has read is the same where it is read by its configuration. (Arrays of
    cells that are refused, `but`, have other names.)"""
    own, told, _ = export_keras.export(*keras_h5.read_archive(path))
    wanted, got = ({name for name in each if not but or not name.startswith(but)} for each in (tensors, own))
    assert wanted == got and all(np.array_equal(tensors[name], own[name]) for name in wanted), wanted ^ got
    settings = lambda each: {
        key: value for key, value in each.items() if not key.endswith(("/config", "not_exported"))
    }
    assert settings(told) == settings(metadata)


def nested(folder):
    """Words to numbers, through two models with a layer `rnn` each."""
    ids = keras.Input((5,), dtype="int32")
    words = layers.Embedding(7, 3, mask_zero=True, name="words")
    encoder = keras.Sequential(
        [keras.Input((5, 3)), layers.LSTM(4, return_sequences=True, name="rnn")], name="encoder"
    )
    decoder = keras.Sequential(
        [keras.Input((5, 4)), layers.GRU(4, name="rnn", kernel_regularizer="l2")], name="decoder"
    )
    head = layers.Dense(2, name="head", activation="relu")
    model = keras.Model(ids, head(layers.Dropout(0.5)(decoder(encoder(words(ids))))))
    fill(model, "nested")
    model.save(folder / "nested.keras")
    x = np.array([[1, 2, 3, 4, 5], [6, 0, 1, 0, 2]], "int32")
    metadata, tensors, printed = command(folder / "nested.keras")
    missing = json.loads(metadata["not_exported"])
    wanted = {f"{each}/rnn: computed in float64 by Keras, in float32 here" for each in ("encoder", "decoder")}
    wanted |= {"decoder/rnn: kernel_regularizer is not exported, of training alone"}
    assert set(missing) - wanted == {"no weights: dropout (Dropout)"}, missing
    assert all(f"not exported: {each}" in printed for each in missing)
    for part in ("words/embeddings", "encoder/rnn/kernel", "decoder/rnn/kernel", "head/kernel", "head/bias"):
        assert part in tensors, part
    same_without_keras(folder / "nested.keras", metadata, tensors)
    # (The mask of the words goes on through both models, whatever the warning says.)
    return metadata, tensors | values({"ids": x, "head": model.predict(x, verbose=0)})


def options(folder):
    """Single layers and their results under a mask with gaps."""
    leaky, relu6, elu = (
        layers.LeakyReLU(negative_slope=0.375),
        layers.ReLU(max_value=6),
        layers.ELU(alpha=0.5),
    )
    sequences = {"return_sequences": True}
    single = {
        "zero": layers.LSTM(3, zero_output_for_mask=True, **sequences),
        "zero_last": layers.GRU(3, zero_output_for_mask=True),
        "apart": layers.Bidirectional(layers.GRU(3, reset_after=False, **sequences), merge_mode=None),
        "apart_last": layers.Bidirectional(layers.SimpleRNN(3), merge_mode=None),
        "cell": layers.RNN(layers.LSTMCell(3, activation=leaky), **sequences),
        "gru_cell": layers.RNN(
            layers.GRUCell(3, recurrent_activation="hard_silu"), go_backwards=True, **sequences
        ),
        "gelu": layers.SimpleRNN(3, activation="gelu", use_bias=False, unroll=True, **sequences),
        "relu6": layers.SimpleRNN(3, activation=relu6, dropout=0.25, recurrent_dropout=0.5, **sequences),
        "two": layers.Bidirectional(
            layers.LSTM(3, **sequences),
            backward_layer=layers.LSTM(3, activation=elu, go_backwards=True, **sequences),
        ),
        "stateful": layers.LSTM(3, stateful=True, use_cudnn=False, **sequences),
        # Refused, each for its own reason.
        "stacked": layers.RNN([layers.LSTMCell(3), layers.LSTMCell(2)]),
        "softmax": layers.GRU(3, activation="softmax"),
        "units": layers.Bidirectional(layers.LSTM(3), backward_layer=layers.LSTM(2, go_backwards=True)),
        "images": layers.TimeDistributed(layers.LSTM(2, name="within"), name="images"),
    }
    x = keras.Input(batch_shape=(4, 5, 2))
    for name, layer in single.items():
        layer.name = name
    pictures = layers.Reshape((5, 2, 1))(x)
    model = keras.Model(x, [layer(pictures if name == "images" else x) for name, layer in single.items()])
    fill(model, "options")
    model.save(folder / "options.keras")
    metadata, tensors, printed = command(folder / "options.keras")
    for name, reason in (("stacked", "StackedRNNCells"), ("softmax", "softmax"), ("units", "units")):
        assert reason in metadata[f"{name}/refused"] and f"{name}: cannot be computed" in printed, name
    same_without_keras(folder / "options.keras", metadata, tensors, but="stacked/")
    inputs = golden.uniform(golden.random("options x"), 4, 5, 2, limit=1.5)
    results = {"x": inputs}
    for name in list(single)[:10]:
        # Twice, of which only the stateful layer takes notice.
        for time in ("first", "second"):
            y = single[name](inputs.astype("float64"), mask=GAPS)
            results[f"{name}/{time}"] = np.stack(y) if isinstance(y, (tuple, list)) else y
    return metadata, tensors | values(results) | {"io/mask": GAPS}


def keras2(folder):
    """A model of Keras 2, whose `hard_sigmoid` is another one, by three ways."""
    legacy = tf_keras.layers
    inner = tf_keras.Sequential(
        [
            legacy.GRU(
                3, reset_after=False, return_sequences=True, name="rnn", recurrent_activation="hard_sigmoid"
            )
        ],
        name="inner",
    )
    model = tf_keras.Sequential(
        [
            legacy.Input((5, 2)),
            legacy.LSTM(4, return_sequences=True, recurrent_activation="hard_sigmoid", name="rnn"),
            inner,
            legacy.Bidirectional(legacy.LSTM(3, return_sequences=True), merge_mode="sum", name="both"),
            legacy.Bidirectional(legacy.GRU(3), name="last"),
            legacy.Dense(2, name="head"),
        ]
    )
    fill(model, "keras2")
    x = golden.uniform(golden.random("keras2 x"), 4, 5, 2, limit=1.5)
    model.save(folder / "whole.h5")
    model.save_weights(folder / "weights.h5")
    (folder / "model.json").write_text(model.to_json())
    metadata, tensors, _ = command(folder / "whole.h5")
    assert metadata["rnn/recurrent_activation"] == "hard_sigmoid:0.2:0.5"
    same = lambda two, names: all(np.array_equal(tensors[name], two[name]) for name in names)
    by_config = command(folder / "weights.h5", "--config", folder / "model.json")
    assert by_config[0] == metadata and by_config[1].keys() == tensors.keys() and same(by_config[1], tensors)
    # Late files of Keras 2, of which Keras 3 cannot load the first.
    model.save(folder / "late.keras")
    model.save_weights(folder / "late.weights.h5")
    for late in (
        command(folder / "late.keras"),
        command(folder / "late.weights.h5", "--config", folder / "model.json"),
    ):
        assert late[1].keys() == tensors.keys() and same(late[1], tensors)
        assert late[0]["rnn/recurrent_activation"] == "hard_sigmoid:0.2:0.5"
    unsaid = command(folder / "late.weights.h5", "--layer", "lstm=LSTM,recurrent_activation=hard_sigmoid")
    assert "does not say which" in unsaid[0]["lstm/refused"]
    said_so = command(
        folder / "late.weights.h5", "--layer", "lstm=LSTM,recurrent_activation=hard_sigmoid:0.2:0.5"
    )
    assert said_so[0]["lstm/recurrent_activation"] == "hard_sigmoid:0.2:0.5"
    said = refusal(folder / "weights.h5")
    assert (
        "--config" in said
        and "--layer both=LSTM,merge_mode=concat" in said
        and "rnn may be LSTM, 4 units" in said
    ), said
    specs = ["rnn=LSTM,recurrent_activation=hard_sigmoid", "both=LSTM,merge_mode=sum", "last=GRU"]
    specs = [argument for spec in specs for argument in ("--layer", spec)]
    by_hand = command(folder / "weights.h5", *specs)
    assert same(
        by_hand[1], [name for name in tensors if name.split("/")[0] in ("rnn", "both", "last", "head")]
    )
    for name in ("rnn/recurrent_activation", "both/merge_mode", "last/reset_after", "last/merge_mode"):
        assert by_hand[0][name] == metadata[name], name
    assert "there is no nobody" in refusal(folder / "weights.h5", "--layer", "nobody=LSTM")
    assert "rnn has arrays" in refusal(folder / "weights.h5", "--layer", "rnn=GRU")
    assert "own architecture" in refusal(folder / "whole.h5", "--layer", "rnn=LSTM")
    assert "neither" in refusal(__file__)
    return metadata, tensors | values({"x": x, "head": model.predict(x.astype("float64"), verbose=0)})


def cudnn():
    """CuDNN's layers of Keras 2: its own conversion of plain weights into theirs, and ours back."""
    stream = golden.random("cudnn")
    for kind, gates, bias in (("CuDNNLSTM", 4, (12,)), ("CuDNNGRU", 3, (2, 9))):
        plain = [golden.uniform(stream, *shape) for shape in ((5, gates * 3), (3, gates * 3), bias)]
        layer = type(kind, (), {"units": 3, "bias": None})()
        turned = hdf5_format._convert_rnn_weights(layer, list(plain))
        assert turned[2].shape == (gates * 6,)
        back = keras_h5.from_cudnn(*turned)
        assert all(np.allclose(one, two) for one, two in zip(plain, back, strict=True)), kind


def keras3_weights(folder):
    """Weights alone of Keras 3, with an architecture and with --layer."""
    rnn = layers.LSTM(3, activation="softsign", name="mine")
    model = keras.Sequential([keras.Input((5, 2)), rnn, layers.Dense(1, name="head")])
    fill(model, "weights")
    model.save_weights(folder / "model.weights.h5")
    (folder / "3.json").write_text(model.to_json())
    _, tensors, _ = command(folder / "model.weights.h5", "--config", folder / "3.json")
    metadata, by_hand, _ = command(folder / "model.weights.h5", "--layer", "lstm=LSTM,activation=softsign")
    assert metadata["lstm/activation"] == "softsign"
    for part, weight in zip(("kernel", "recurrent_kernel", "bias"), rnn.get_weights(), strict=True):
        assert np.allclose(tensors[f"mine/{part}"], weight) and np.allclose(
            by_hand[f"lstm/{part}"], weight
        ), part


def main():
    keras.config.set_floatx("float64")
    tf_keras.backend.set_floatx("float64")
    directory = golden.clean("keras_files")
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        cudnn()
        keras3_weights(folder)
        for case in (nested, options, keras2):
            golden.save(directory / f"{case.__name__}.safetensors", *case(folder))
    files = list(directory.glob("*.safetensors"))
    print(f"{len(files)} files, {sum(file.stat().st_size for file in files)} bytes in {directory.name}/")


if __name__ == "__main__":
    main()
