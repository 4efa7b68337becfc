"""Calls of networks on NumPy arrays: options, promises of equal bits, errors."""

import copy
import os
import pickle
import re
import subprocess
import sys
import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fused_rnn

KINDS = ["lstm", "gru", "gru_reset_before", "rnn_tanh", "rnn_relu"]
KINDS += ["min_gru", "min_lstm", "ind_rnn", "lstm_mult", "slstm"]


def uniform(*shape, seed=0):
    return np.random.default_rng(seed).uniform(-1, 1, shape).astype(np.float32)


def parts(state):
    return state if isinstance(state, tuple) else (state,)


def equal(a, b):
    return all(np.array_equal(p, q) for p, q in zip(parts(a), parts(b), strict=True))


@given(
    kind=st.sampled_from(KINDS),
    layers=st.integers(1, 3),
    both=st.booleans(),
    batch_first=st.booleans(),
    lengths=st.lists(st.integers(0, 9), min_size=1, max_size=6),
    hidden=st.sampled_from([1, 5, 16, 33]),
)
@settings(deadline=None, max_examples=60)
def test_a_row_alone_has_the_bits_that_it_has_in_a_batch(kind, layers, both, batch_first, lengths, hidden):
    direction = "both" if both else "forward"
    net = fused_rnn.Network(
        kind, 3, hidden, num_layers=layers, direction=direction, batch_first=batch_first, seed=7
    )
    batch, steps = len(lengths), max(lengths)
    x = uniform(batch, steps, 3)
    y, state = net(x if batch_first else x.transpose(1, 0, 2), lengths=lengths)
    y = y if batch_first else y.transpose(1, 0, 2)
    for row, length in enumerate(lengths):
        own = x[row : row + 1, :length]
        alone, end = net(own if batch_first else own.transpose(1, 0, 2))
        alone = alone if batch_first else alone.transpose(1, 0, 2)
        assert np.array_equal(alone[0], y[row, :length]) and not y[row, length:].any()
        assert equal(end, tuple(part[:, row : row + 1] for part in parts(state)))


@pytest.mark.parametrize("kind", KINDS)
def test_steps_and_cuts_and_threads_give_the_same_bits(kind):
    net = fused_rnn.Network(kind, 8, 96, num_layers=2, threads=1)
    other = pickle.loads(pickle.dumps(net))
    many = fused_rnn.Network._of(other._native)
    x = uniform(5, 30, 8)
    y, end = net(x)
    first, middle = net(x[:, :11])
    second, last = net(x[:, 11:], middle)
    assert np.array_equal(np.concatenate([first, second], 1), y) and equal(last, end)
    stream = net.stream(5)
    steps = [stream.step(np.ascontiguousarray(x[:, step])).copy() for step in range(30)]
    assert np.array_equal(np.stack(steps, 1), y) and equal(stream.state, end)
    for threads in (2, 3):
        many = fused_rnn.Network(kind, 8, 96, num_layers=2, threads=threads)
        many.set_parameters(net.parameters())
        again, _ = many(x)
        assert np.array_equal(again, y)


@pytest.mark.parametrize("kind", KINDS)
def test_masks_and_resets_are_what_they_say(kind):
    net, x = fused_rnn.Network(kind, 4, 10), uniform(2, 8, 4)
    mask = np.ones((2, 8), bool)
    mask[0, [1, 4]] = False
    y, end = net(x, mask=mask)
    short, short_end = net(np.delete(x[:1], [1, 4], 1))
    assert np.array_equal(np.delete(y[:1], [1, 4], 1), short) and not y[0, [1, 4]].any()
    assert equal(tuple(part[:, :1] for part in parts(end)), short_end)
    resets = np.zeros((2, 8), bool)
    resets[:, 5] = True
    y, end = net(x, resets=resets)
    before, _ = net(x[:, :5])
    after, after_end = net(x[:, 5:])
    assert np.array_equal(y, np.concatenate([before, after], 1)) and equal(end, after_end)


@pytest.mark.parametrize("byte", [2, 128, 255])
def test_any_byte_but_zero_is_true(byte):
    net, x = fused_rnn.GRU(3, 5), uniform(4, 9, 3)
    given = np.random.default_rng(1).integers(0, 2, (4, 9)).astype(bool)
    odd = (given.astype(np.uint8) * byte).view(bool)
    for key in ("mask", "resets"):
        assert np.array_equal(net(x, **{key: odd})[0], net(x, **{key: given})[0])
        turned = odd.T.copy().T
        assert np.array_equal(net(x, **{key: turned})[0], net(x, **{key: given})[0])


def test_gradients_are_slopes():
    """Against central differences, with every kind of gradient."""
    net = fused_rnn.LSTM(3, 4, num_layers=2, bidirectional=True, proj_size=2)
    x, h, c = uniform(2, 5, 3), uniform(4, 2, 2, seed=1), uniform(4, 2, 4, seed=2)
    dy, dh, dc = uniform(2, 5, 4, seed=3), uniform(4, 2, 2, seed=4), uniform(4, 2, 4, seed=5)

    def loss(x, h, c):
        y, (hn, cn) = net(x, (h, c))
        return sum((a.astype(float) * b).sum() for a, b in ((y, dy), (hn, dh), (cn, dc)))

    y, _, tape = net.forward_train(x, (h, c))
    gradients = net.backward(x, tape, dy, (dh, dc))
    for value, gradient in ((x, gradients.x), (h, gradients.state[0]), (c, gradients.state[1])):
        for index in list(np.ndindex(value.shape))[::7]:
            kept, slope = value[index], 0.0
            for sign in (1, -1):
                value[index] = kept + sign * 1e-2
                slope += sign * loss(x, h, c) / 2e-2
            value[index] = kept
            assert abs(slope - gradient[index]) < 2e-3
    name, values = "weight_hh_l1_reverse", net.parameters()["weight_hh_l1_reverse"]
    for index in list(np.ndindex(values.shape))[::5]:
        slope = 0.0
        for sign in (1, -1):
            moved = values.copy()
            moved[index] += sign * 1e-2
            net.set_parameters({name: moved})
            slope += sign * loss(x, h, c) / 2e-2
        assert abs(slope - gradients.parameters[name][index]) < 2e-3
    # (The tape has the parameters of its call, whatever has become of them.)
    assert equal(net.backward(x, tape, dy, (dh, dc)).state, gradients.state)
    only = net.backward(x, tape, dy, (dh, dc), wanted=("x",))
    assert only.parameters is None and only.state is None and np.array_equal(only.x, gradients.x)


def test_dropout_and_checkpoints_follow_the_seed():
    net, x = (
        fused_rnn.GRU(3, 20, num_layers=2, dropout=0.5, recurrent_dropout=0.2, zoneout=0.1),
        uniform(4, 9, 3),
    )
    y, _, tape = net.forward_train(x, seed=3)
    same, _, checkpoints = net.forward_train(x, seed=3, every=4)
    other, _, _ = net.forward_train(x, seed=4)
    assert np.array_equal(y, same) and not np.array_equal(y, other)
    assert checkpoints.nbytes < tape.nbytes
    a, b = (net.backward(x, t, y) for t in (tape, checkpoints))
    assert all(np.array_equal(a.parameters[name], b.parameters[name]) for name in a.parameters)
    _, _, within = net.forward_train(x, seed=3, budget=tape.nbytes // 2)
    assert within.nbytes <= tape.nbytes // 2


OPTIONS = [
    (
        "lstm",
        dict(num_layers=2, bidirectional=True, proj_size=3, batch_first=False, bias=False, dropout=0.25),
    ),
    ("lstm", dict(peephole=True, coupled=True, clip=3.0, cell_clip=2.0, zoneout=(0.125, 0.25))),
    ("lstm", dict(layer_norm=1e-5, direction="reverse", init="keras", seed=9, threads=2)),
    ("lstm", dict(activations=["hard_sigmoid", ("scaled_tanh", 1.5, 0.5), "softsign"], schedule="units")),
    ("gru", dict(bidirectional=True, activations=["sigmoid", "tanh"], activations_reverse=["mish", "gelu"])),
    ("gru", dict(reset_after=False, input_dropout=0.5, recurrent_dropout=0.5, bias="single")),
    ("rnn", dict(nonlinearity="relu", num_layers=3, level="portable")),
    ("min_gru", dict(activations=["hard_sigmoid", "tanh"], bidirectional=True)),
    ("min_lstm", dict(num_layers=2, bias=False)),
    ("ind_rnn", dict(activations=["tanh"], recurrent_dropout=0.5)),
    ("lstm_mult", dict(clip=3.0, cell_clip=2.0)),
    ("slstm", dict(heads=5, zoneout=0.25, direction="reverse")),
]
CLASSES = {"lstm": fused_rnn.LSTM, "gru": fused_rnn.GRU, "rnn": fused_rnn.RNN, "min_gru": fused_rnn.MinGRU}
CLASSES |= {"min_lstm": fused_rnn.MinLSTM, "ind_rnn": fused_rnn.IndRNN, "slstm": fused_rnn.SLSTM}
CLASSES |= {"lstm_mult": fused_rnn.MultiplicativeLSTM}


@pytest.mark.parametrize("kind, options", OPTIONS)
def test_options_survive_pickling_and_copying(kind, options):
    net = CLASSES[kind](3, 5, **options)
    x = uniform(2, 6, 3) if net.options.get("batch_first", True) else uniform(6, 2, 3)
    y, _ = net(x)
    for other in (pickle.loads(pickle.dumps(net)), copy.copy(net), copy.deepcopy(net)):
        assert type(other) is type(net) and other.options == net.options and repr(other) == repr(net)
        if options.get("level") is None:
            assert np.array_equal(other(x)[0], y)
    made = eval(repr(net), {made.__name__: made for made in CLASSES.values()})
    assert made.options == net.options and made.kind == net.kind


@pytest.mark.parametrize(
    "call, error, text",
    [
        (lambda net, x: net(x[:, :, :2]), ValueError, "x: expected 3 features, got 2"),
        (lambda net, x: net(x[0]), ValueError, r"x: expected 3 axes \(B, T, I\), got 2"),
        (lambda net, x: net(x.astype(float)), TypeError, "x: expected float32, got float64"),
        (
            lambda net, x: net(x, lengths=[6, 7]),
            ValueError,
            "length of row 1: expected at most 6 steps, got 7",
        ),
        (
            lambda net, x: net(x, lengths=[6, -1]),
            ValueError,
            "length of row 1: expected at least 0 steps, got -1",
        ),
        (lambda net, x: net(x, lengths=[6]), ValueError, "lengths: expected 2 values, got 1"),
        (lambda net, x: net(x, lengths=[6.0, 2.0]), TypeError, "lengths: expected integers, got float64"),
        (
            lambda net, x: net(x, mask=np.ones((2, 5), bool)),
            ValueError,
            r"mask: expected shape \[2, 6\], got \[2, 5\]",
        ),
        (
            lambda net, x: net(x, lengths=np.array([6, 2**64 - 1], np.uint64)),
            ValueError,
            "lengths: expected integers below 2\\^63, got 18446744073709551615",
        ),
        (
            lambda net, x: net(x, mask=np.ones(6, bool)),
            ValueError,
            r"mask: expected 2 axes \(B, T\), got 1",
        ),
        (
            lambda net, x: net(x, out=np.broadcast_to(np.float32(0), (2, 6, 5))),
            TypeError,
            "out: expected an array of float32, got one that is in use or cannot be written",
        ),
        (
            lambda net, x: net(np.zeros((2, 6, 3), np.float32), out=x),
            ValueError,
            "out: expected shape",
        ),
        (
            lambda net, x: fused_rnn.RNN(3, 3)(x, out=x),
            TypeError,
            "out: expected an array of float32, got one that is in use",
        ),
        (
            lambda net, x: net(x, out=np.frombuffer(bytearray(241), "f4", 60, 1).reshape(2, 6, 5)),
            ValueError,
            "out: expected an address that is a multiple of 4, got ",
        ),
        (lambda net, x: net(x, mask=np.ones((2, 6))), TypeError, "mask: expected bool, got float64"),
        (
            lambda net, x: net(x, uniform(1, 2, 5)),
            TypeError,
            r"state: expected a pair \(h, c\), got ndarray",
        ),
        (
            lambda net, x: net(x, (uniform(1, 2, 4), uniform(1, 2, 5))),
            ValueError,
            r"h: expected shape \[1, 2, 5\], got \[1, 2, 4\]",
        ),
        (
            lambda net, x: net(x, out=np.zeros((2, 6, 4), "f4")),
            ValueError,
            r"out: expected shape \[2, 6, 5\], got \[2, 6, 4\]",
        ),
        (lambda net, x: net(x, out=np.zeros((2, 6, 5))), TypeError, "out: expected an array of float32"),
        (
            lambda net, x: net(x, out=np.zeros((2, 6, 10), "f4")[:, :, ::2]),
            ValueError,
            "out: expected a C-contiguous",
        ),
        (lambda net, x: net.set_parameters({"weight": uniform(3)}), ValueError, "weight"),
        (
            lambda net, x: net.set_parameters({"bias_ih_l0": uniform(3)}),
            ValueError,
            r"bias_ih_l0: expected shape \[20\]",
        ),
        (
            lambda net, x: net.stream(2).step(uniform(2, 2)),
            ValueError,
            r"frame: expected shape \[2, 3\], got \[2, 2\]",
        ),
        (
            lambda net, x: net.stream(2).reset([2]),
            ValueError,
            "row of a stream: expected a row below 2, got 2",
        ),
        (lambda net, x: net.forward_train(x, every=2, budget=3), ValueError, "every and budget"),
        (lambda net, x: net.forward_train(x, budget=3), ValueError, "bytes"),
        (
            lambda net, x: net.backward(x, net.forward_train(x)[2], wanted=("y",)),
            ValueError,
            "wanted: expected some of",
        ),
        (
            lambda net, x: fused_rnn.LSTM(3, 5, dropout=1.0),
            ValueError,
            r"dropout: expected a probability in \[0, 1\), got 1",
        ),
        (lambda net, x: fused_rnn.LSTM(3, 0), ValueError, "hidden_size: expected at least 1, got 0"),
        (
            lambda net, x: fused_rnn.GRU(3, 5, peephole=True),
            ValueError,
            "not supported: peepholes of a cell other",
        ),
        (lambda net, x: fused_rnn.SLSTM(3, 5, heads=2), ValueError, "heads: expected a number that divides"),
        (lambda net, x: fused_rnn.LSTM(3, 5, heads=5), ValueError, "not supported: heads of a cell other"),
        (
            lambda net, x: fused_rnn.SLSTM(3, 5)(x, (uniform(1, 2, 5), uniform(1, 2, 5))),
            TypeError,
            r"state: expected \(h, c, n, m\), got tuple",
        ),
        (lambda net, x: fused_rnn.LSTM(3, 5, depth=2), TypeError, 'unexpected keyword argument "depth"'),
        (lambda net, x: fused_rnn.LSTM(3, 5, dropout="a"), TypeError, "dropout: "),
        (
            lambda net, x: fused_rnn.LSTM(3, 5, direction="up"),
            ValueError,
            "direction: expected forward, reverse, both",
        ),
        (
            lambda net, x: fused_rnn.LSTM(3, 5, activations=["tanh"]),
            ValueError,
            "activations: expected 3 values, got 1",
        ),
        (
            lambda net, x: fused_rnn.LSTM(3, 5, activations=["than"] * 3),
            ValueError,
            "activation: expected linear or one of",
        ),
        (
            lambda net, x: fused_rnn.LSTM(3, 5, activations=[("tanh", 1.0)] * 3),
            ValueError,
            "tanh: expected at most 0",
        ),
        (lambda net, x: fused_rnn.LSTM(3, 5, level="sse"), ValueError, "level: expected portable"),
        (
            lambda net, x: fused_rnn.RNN(3, 5, nonlinearity="gelu"),
            ValueError,
            "nonlinearity: expected tanh, relu",
        ),
        (
            lambda net, x: fused_rnn.LSTM(3, 5, bidirectional=True).stream(),
            ValueError,
            "a stream of a bidirectional",
        ),
        (lambda net, x: fused_rnn.LSTM(2**40, 2**40), ValueError, "expected a size below"),
    ],
)
def test_wrong_arguments_are_named(call, error, text):
    net, x = fused_rnn.LSTM(3, 5), uniform(2, 6, 3)
    before = net.parameters()
    with pytest.raises(error, match=text):
        call(net, x)
    assert all(np.array_equal(before[name], value) for name, value in net.parameters().items())


def test_inputs_with_strides_are_copied_and_tensors_of_others_are_read():
    net, x = fused_rnn.GRU(3, 5), uniform(2, 12, 6)
    y, _ = net(np.ascontiguousarray(x[:, ::2, ::2]))
    assert np.array_equal(net(x[:, ::2, ::2])[0], y)

    class Foreign:
        def __init__(self, array):
            self.array = array

        def __dlpack__(self, **keywords):
            return self.array.__dlpack__(**keywords)

        def __dlpack_device__(self):
            return self.array.__dlpack_device__()

    assert np.array_equal(net(Foreign(np.ascontiguousarray(x[:, ::2, ::2])))[0], y)
    out = np.empty_like(y)
    assert net(x[:, ::2, ::2], out=out)[0] is out and np.array_equal(out, y)


def test_threads_share_a_network():
    net, x = fused_rnn.LSTM(16, 64), uniform(8, 40, 16)
    expected, wrong = net(x)[0], []

    def work():
        for _ in range(20):
            if not np.array_equal(net(x)[0], expected):
                wrong.append(1)

    threads = [threading.Thread(target=work) for _ in range(4)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert not wrong


def test_parameters_are_set_beside_calls():
    code = """
import threading, numpy, fused_rnn
net, x = fused_rnn.RNN(256, 256), numpy.zeros((1, 1, 256), "float32")
weight, done = numpy.asfortranarray(net.parameters()["weight_hh_l0"]), threading.Event()

def work():
    while not done.is_set():
        net(x)

threads = [threading.Thread(target=work) for _ in range(2)]
[thread.start() for thread in threads]
for _ in range(500):
    net.set_parameters({"weight_hh_l0": weight})
done.set()
[thread.join() for thread in threads]
"""
    # (Two threads that wait for each other end with this process alone.)
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0


def test_a_child_that_was_forked_after_threads_ran_computes_the_same():
    code = """
import os, sys, warnings, numpy, fused_rnn
warnings.simplefilter("ignore")
net, x = fused_rnn.LSTM(64, 256, threads=2), numpy.ones((32, 50, 64), "float32")
y, _ = net(x)
child = os.fork()
if child == 0:
    os._exit(0 if (net(x)[0] == y).all() else 3)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    done = subprocess.run(
        [sys.executable, "-c", code], timeout=60, env=os.environ | {"FUSED_RNN_THREADS": "2"}
    )
    assert done.returncode == 0


def test_the_version_is_that_of_the_crate():
    from golden import FOLDER

    manifests = [
        FOLDER.parents[1] / "Cargo.toml",
        *(FOLDER.parents[1] / "bindings/python" / name for name in ("Cargo.toml", "pyproject.toml")),
    ]
    versions = {re.search(r'^version = "(.*)"', path.read_text(), re.M).group(1) for path in manifests}
    assert versions == {fused_rnn.__version__}


@pytest.mark.parametrize("precision", ["f32", "bf16_weights", "bf16", "int8"])
def test_precisions(precision):
    net, x = fused_rnn.LSTM(5, 24, num_layers=2, precision=precision), uniform(3, 9, 5)
    plain = fused_rnn.LSTM(5, 24, num_layers=2)
    plain.set_parameters(net.parameters())
    y, expected = net(x)[0], plain(x)[0]
    assert np.array_equal(y, expected) == (precision == "f32")
    assert np.abs(y - expected).max() < 0.02
    assert np.array_equal(pickle.loads(pickle.dumps(net))(x)[0], y)
    if precision == "int8":
        with pytest.raises(ValueError, match="training in Int8"):
            net.forward_train(x)
    else:
        _, _, tape = net.forward_train(x)
        assert np.isfinite(net.backward(x, tape, y).x).all()


@pytest.mark.parametrize("precision", ["f32", "bf16_weights", "bf16", "int8"])
def test_packed_weights_alone(precision):
    net, x = fused_rnn.GRU(5, 24, num_layers=2, precision=precision), uniform(3, 9, 5)
    whole, parameters = net.nbytes, net.parameters()
    (y, h), kept = net(x), copy.copy(net)
    tape = None if precision == "int8" else net.forward_train(x)[2]
    stream = net.stream(3)
    for _ in range(2):
        net.drop_parameters()
    size = sum(value.nbytes for value in parameters.values())
    assert (net.has_parameters, kept.has_parameters) == (False, True)
    # (A backward pass packs weights for itself.)
    assert net.nbytes == whole - size and kept.nbytes == whole

    again, state = net(x)
    assert np.array_equal(again, y) and np.array_equal(state, h)
    for frames in (stream, net.stream(3)):
        assert np.array_equal(np.stack([frames.step(frame) for frame in x.swapaxes(0, 1)], 1), y)
    for other in (copy.copy(net), copy.deepcopy(net)):
        assert not other.has_parameters and other.nbytes == net.nbytes and np.array_equal(other(x)[0], y)
    assert "num_layers=2" in repr(net) and net.options["num_layers"] == 2

    said = "parameters of a network that has dropped them"
    for refused in (net.parameters, lambda: net.set_parameters({}), lambda: pickle.dumps(net)):
        with pytest.raises(ValueError, match=said):
            refused()
    with pytest.raises(ValueError, match="training in Int8|training of a network that has dropped its parameters"):
        net.forward_train(x)
    if tape is not None:
        # A tape keeps the parameters that it was made with.
        by_name = net.backward(x, tape, y).parameters
        assert by_name.keys() == parameters.keys() and all(value.any() for value in by_name.values())
    kept.set_parameters({name: value * 0 for name, value in parameters.items()})
    assert not kept(x)[0].any() and np.array_equal(net(x)[0], y)


def test_a_tape_is_of_its_network():
    net, x = fused_rnn.LSTM(3, 4), np.ones((2, 5, 3), np.float32)
    y, _, tape = net.forward_train(x)
    with pytest.raises(ValueError, match="tape: expected one that this network has filled"):
        fused_rnn.LSTM(3, 4).backward(x, tape, y)
    assert net.backward(x, tape, y).x.any()


def test_numbers_below_zero_are_value_errors():
    with pytest.raises(ValueError, match="input_size: expected an integer from 0"):
        fused_rnn.LSTM(-1, 3)
    with pytest.raises(ValueError, match="seed: expected an integer from 0"):
        fused_rnn.LSTM(1, 3).forward_train(np.zeros((1, 1, 1), np.float32), seed=-1)
    for name in ("num_layers", "proj_size", "heads", "seed", "threads"):
        for value in (-1, 1 << 64):
            with pytest.raises(ValueError, match=f"{name}: expected an integer from 0 .* got {value}"):
                fused_rnn.LSTM(1, 3, **{name: value})
    with pytest.raises(ValueError, match="clip: expected a float, got 1000"):
        fused_rnn.LSTM(1, 3, clip=10**400)
    for row in (-1, 1 << 64):
        with pytest.raises(ValueError, match=f"row of a stream: expected a row below 2, got {row}"):
            fused_rnn.LSTM(1, 3).stream(2).reset(rows=[row])


def test_masked_arrays_are_refused():
    x = np.ma.masked_less(np.zeros((1, 2, 3), np.float32), 1)
    with pytest.raises(TypeError, match="x: expected an array without a mask"):
        fused_rnn.GRU(3, 4)(x)
    flags = np.ma.array(np.ones((1, 2), bool), mask=[[False, True]])
    lengths = np.ma.array([2], mask=[True])
    for name, given in ("mask", flags), ("resets", flags), ("lengths", lengths):
        with pytest.raises(TypeError, match=f"{name}: expected an array without a mask"):
            fused_rnn.GRU(3, 4)(x.data, **{name: given})


def test_any_byte_but_zero_is_true():
    net, x = fused_rnn.GRU(3, 4), np.ones((1, 2, 3), np.float32)
    for byte in (1, 2, 255):
        flags = np.full((1, 2), byte, np.uint8).view(bool)
        assert np.array_equal(net(x, mask=flags)[0], net(x)[0])
        assert np.array_equal(net(x, resets=flags)[0], net(x, resets=np.ones((1, 2), bool))[0])


def test_parameters_are_set_beside_other_calls():
    # NumPy gives Python's lock away while it copies large arrays: that once was a deadlock.
    program = """
import numpy as np, fused_rnn, threading
net = fused_rnn.LSTM(256, 256)
new = {name: np.asfortranarray(value) for name, value in net.parameters().items()}
done = threading.Event()
def read():
    while not done.is_set():
        net.nbytes
reader = threading.Thread(target=read, daemon=True)
reader.start()
for _ in range(50):
    net.set_parameters(new)
done.set()
reader.join()
"""
    subprocess.run([sys.executable, "-c", program], timeout=60, check=True)


@pytest.mark.parametrize("named", ["abc", "1.5", "-1", "0", "100000"])
def test_a_wrong_number_of_threads_is_told_at_once(named):
    done = subprocess.run(
        [sys.executable, "-c", "import fused_rnn"],
        env=os.environ | {"FUSED_RNN_THREADS": named},
        capture_output=True,
        text=True,
        check=False,
    )
    assert f"FUSED_RNN_THREADS: expected a number from 1 to 256, got {named}" in done.stderr
