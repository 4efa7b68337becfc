"""Networks, layers and streams in another precision: the bits of what is made in that precision."""

import copy
import pickle

import numpy as np
import pytest

import fused_rnn
from golden import FOLDER, read

PRECISIONS = ["f32", "bf16_weights", "bf16", "int8"]
NAMES = "precision: expected f32, bf16_weights, bf16, int8"
SAID = NAMES + ', got "int4"'


def uniform(*shape, seed=0):
    return np.random.default_rng(seed).uniform(-1, 1, shape).astype(np.float32)


def networks():
    """Of every cell, and with what changes which matrices there are."""
    for kind in ("lstm", "gru", "gru_reset_before", "rnn_tanh", "rnn_relu"):
        options = dict(num_layers=2, direction="both", batch_first=False)
        yield copy.copy(fused_rnn.Network(kind, 5, 7, **options))
    for kind in ("min_gru", "min_lstm", "ind_rnn", "lstm_mult"):
        yield copy.copy(fused_rnn.Network(kind, 5, 7, num_layers=2))
    yield fused_rnn.SLSTM(5, 6, heads=3)
    yield fused_rnn.LSTM(5, 7, proj_size=3, peephole=True, bias="single", activations=["tanh", "relu", "tanh"])
    yield fused_rnn.GRU(5, 7, layer_norm=1e-5, clip=2.0, threads=1, zoneout=0.1)


def same(a, b):
    """Equal outputs and states of two calls."""
    parts = [[y, *(state if isinstance(state, tuple) else (state,))] for y, state in (a, b)]
    return all(np.array_equal(a, b) for a, b in zip(*parts, strict=True))


def quantized():
    """A file of int8 with scales, as other systems write it."""
    pytest.importorskip("safetensors")
    from safetensors.numpy import save

    net, tensors = fused_rnn.GRU(5, 8), {}
    for name, value in net.parameters().items():
        if name.startswith("weight"):
            scale = 0.001 * np.arange(1, len(value) + 1, dtype=np.float32)
            tensors[f"{name}_scale"] = scale[:, None]
            value = np.arange(value.size).reshape(value.shape) * 37 % 256 - 128
            value = value.astype(np.int8)
        tensors[name] = value
    return save(tensors)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_network_in_another_precision_is_one_that_was_made_in_it(precision):
    for net in networks():
        x, before = uniform(6, 4, 5), copy.copy(net)
        other = net.in_precision(precision)
        options = {**net.options, "precision": precision}
        # (Of the class of its cell, as copies are.)
        made = copy.copy(fused_rnn.Network(net.kind, net.input_size, net.hidden_size, **options))
        made.set_parameters(net.parameters())
        assert type(other) is type(net) and other.precision == made.precision == precision
        assert other.options == made.options and repr(other) == repr(made)
        assert same(other(x), made(x)) and same(other(x), net(x)) == (precision == "f32"), repr(net)
        assert other.nbytes == made.nbytes
        # It has the same parameters, so that there is a way back; the network itself is as it was.
        for name, value in net.parameters().items():
            assert np.array_equal(other.parameters()[name], value)
        assert same(other.in_precision("f32")(x), before(x)) and same(net(x), before(x))
        assert net.precision == "f32" and net.options == before.options
        # Two networks: what is changed in one is not changed in the other.
        other.set_parameters({name: value * 0 for name, value in net.parameters().items()})
        assert same(net(x), before(x))
        small = made.in_precision(precision)
        small.drop_parameters()
        assert not small.has_parameters and made.has_parameters and same(small(x), made(x))


def test_one_that_trains_in_bf16_trains_as_one_that_was_made_in_it():
    net, x = fused_rnn.LSTM(5, 7), uniform(3, 4, 5)
    for precision in PRECISIONS[:3]:
        other, made = net.in_precision(precision), fused_rnn.LSTM(5, 7, precision=precision)
        made.set_parameters(net.parameters())
        gradients = [
            one.backward(x, tape, y) for one in (other, made) for y, _, tape in [one.forward_train(x)]
        ]
        for name, value in gradients[0].parameters.items():
            assert np.array_equal(value, gradients[1].parameters[name]), name
    with pytest.raises(ValueError, match="training in Int8"):
        net.in_precision("int8").forward_train(x)


def test_names_and_networks_that_have_no_other_precision():
    net = fused_rnn.GRU(5, 7)
    layer = fused_rnn.load_keras(FOLDER / "keras_files/options.safetensors", "gelu")
    for one in (net, net.stream(), layer):
        with pytest.raises(ValueError, match=SAID):
            one.in_precision("int4")
        for name in (None, 8):
            with pytest.raises(TypeError, match=f"{NAMES}, got {name}$"):
                one.in_precision(name)
        with pytest.raises(TypeError):
            one.in_precision()
        one.drop_parameters()
        for precision in PRECISIONS:
            with pytest.raises(ValueError, match="parameters of a network that has dropped them"):
                one.in_precision(precision)
    with pytest.raises(ValueError, match=SAID):
        fused_rnn.GRU(5, 7, precision="int4")
    # As every option that is one of some names.
    for option, names in {
        "precision": NAMES,
        "direction": "direction: expected forward, reverse, both",
        "bias": "bias: expected double, single, none",
        "init": "init: expected pytorch, keras, zero",
        "schedule": "schedule: expected auto, rows, units, layers",
        "level": "level: expected portable, ",
    }.items():
        with pytest.raises(TypeError, match=f"^{names}.*, got None$"):
            fused_rnn.GRU(5, 7, **{option: None})


@pytest.mark.parametrize("precision", PRECISIONS)
def test_streams_go_on_in_another_precision(precision):
    for net in (fused_rnn.LSTM(5, 7, num_layers=2), fused_rnn.SLSTM(5, 6, heads=2), fused_rnn.MinGRU(5, 7)):
        x = uniform(8, 3, 5)
        stream = net.stream(3)
        for frame in x[:4]:
            stream.step(frame)
        other = stream.in_precision(precision)
        assert (other.precision, other.batch, stream.precision) == (precision, 3, "f32")
        # What steps from this state on give in a network of that precision.
        made = net.in_precision(precision).stream(3)
        made.state = stream.state
        assert other.nbytes == made.nbytes and other.has_parameters
        kept = stream.state
        ys = [(other.step(frame), made.step(frame)) for frame in x[4:6]]
        assert all(np.array_equal(a, b) for a, b in ys)
        # The stream that it came from has a state of its own.
        assert all(np.array_equal(a, b) for a, b in zip(stream.state, kept))
        before, parameters = other.nbytes, sum(value.nbytes for value in net.parameters().values())
        for _ in range(2):
            other.drop_parameters()
        assert not other.has_parameters and other.nbytes == before - parameters
        assert stream.has_parameters and made.has_parameters and net.has_parameters
        for frame in x[6:]:
            assert np.array_equal(other.step(frame), made.step(frame))
        other.reset()
        assert not np.any(other.state[0])
        with pytest.raises(ValueError, match="frame: expected shape"):
            other.step(x[:, 0])


@pytest.mark.parametrize("precision", PRECISIONS)
def test_layers_of_keras_in_another_precision(precision):
    path = FOLDER / "keras_files/options.safetensors"
    _, tensors = read(path)
    x, mask = tensors["io/x"], tensors["io/mask"].astype(bool)
    for name in sorted(set(fused_rnn.keras_names(path)) - {"within", "stateful"}):
        layer = fused_rnn.load_keras(path, name)
        other = layer.in_precision(precision)
        y, last, _ = layer(x, mask=mask)
        small, small_last, state = other(x, mask=mask)
        assert np.abs(last - small_last).max() < 0.05 and y.shape == small.shape
        assert np.array_equal(last, small_last) or precision != "f32"
        assert other.network.precision == precision and layer.network.precision == "f32"
        network = layer.network.in_precision(precision)
        assert np.array_equal(network(x, mask=mask)[0], other.network(x, mask=mask)[0])
        for attribute in ("merge_mode", "return_sequences", "return_state", "stateful"):
            assert getattr(other, attribute) == getattr(layer, attribute)
        other.drop_parameters()
        assert not other.network.has_parameters and layer.network.has_parameters
        again, again_last, again_state = other(x, mask=mask)
        assert np.array_equal(again, small) and np.array_equal(again_last, small_last)
        assert all(np.array_equal(a, b) for a, b in zip(again_state, state))


def test_chains_of_onnx_in_another_precision():
    (chain,) = fused_rnn.load_onnx(FOLDER / "onnx_cases/chain_lstm_squeeze/model.onnx")
    small, x = chain.network.in_precision("int8"), uniform(2, 6, 3)
    small.drop_parameters()
    start = chain.initial_state(2)
    layout = x if small.options.get("batch_first", True) else x.swapaxes(0, 1).copy()
    assert np.abs(small(layout, start)[0] - chain.network(layout, start)[0]).max() < 0.05


def test_integers_of_others_are_kept_in_files_and_pickles():
    data, x = quantized(), uniform(3, 6, 5)
    net = fused_rnn.load_torch(data, precision="int8")
    y = net(x)
    # Rounded anew, the weights are others: so this sees whether the scales are there.
    anew = fused_rnn.load_torch(data).in_precision("int8")
    assert not np.array_equal(anew(x)[0], y[0])
    assert np.array_equal(anew.parameters()["weight_hh_l0"], net.parameters()["weight_hh_l0"])

    from safetensors.numpy import load

    saved = load(net.to_safetensors())
    assert saved["weight_ih_l0"].dtype == np.int8 and saved["bias_ih_l0"].dtype == np.float32
    for name, value in load(data).items():
        assert np.array_equal(saved[name], value), name
    for other in (
        fused_rnn.load_torch(net.to_safetensors(), precision="int8"),
        pickle.loads(pickle.dumps(net)),
        copy.deepcopy(net),
        net.in_precision("int8"),
    ):
        assert same(other(x), y) and other.options == net.options
    # Scales that nothing was given for have no place in a file.
    plain = fused_rnn.GRU(5, 8, precision="int8")
    assert {value.dtype for value in load(plain.to_safetensors()).values()} == {np.dtype(np.float32)}
    assert same(pickle.loads(pickle.dumps(plain))(x), plain(x))
    # Unless the weights are rounded.
    small = plain.to_safetensors(rounded=True)
    assert load(small)["weight_hh_l0"].dtype == np.int8 and len(small) < len(plain.to_safetensors())
    assert same(fused_rnn.load_torch(small, precision="int8")(x), plain(x))


def test_every_network_of_int8_comes_back_from_a_pickle():
    for net in networks():
        net, x = net.in_precision("int8"), uniform(6, 4, 5)
        other = pickle.loads(pickle.dumps(net))
        assert (type(other), other.options) == (type(net), net.options)
        assert same(other(x), net(x)), repr(net)
