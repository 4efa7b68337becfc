"""Options that PyTorch's layers lack, against the NumPy API, which is judged by golden files: equal bits."""

import copy
import pickle

import numpy as np
import pytest
import torch

import fused_rnn
import fused_rnn.torch as fused
from fused_rnn.torch import modules
from torch_cases import parts

CASES = [
    ("LSTM", dict(peephole=True, clip=2.0)),
    ("LSTM", dict(layer_norm=1e-5)),
    (
        "LSTM",
        dict(
            coupled=True, cell_clip=0.5, activations=["hard_sigmoid", "softsign", ("scaled_tanh", 1.5, 0.7)]
        ),
    ),
    ("LSTM", dict(recurrent_dropout=0.5, input_dropout=0.25, zoneout=(0.25, 0.125))),
    ("LSTM", dict(proj_size=5, peephole=True)),
    ("GRU", dict(layer_norm=1e-5, recurrent_dropout=0.25)),
    ("GRU", dict(zoneout=0.5, dropout=0.5)),
    (
        "GRU",
        dict(bidirectional=True, activations=["sigmoid", "relu"], activations_reverse=["sigmoid", "tanh"]),
    ),
    ("RNN", dict(nonlinearity="relu", recurrent_dropout=0.5)),
]


def twin(net):
    """The same network on NumPy arrays."""
    spec = net._spec(training=True)
    made = fused_rnn.Network(spec.kind, spec.input_size, spec.hidden_size, **dict(spec.options))
    made.set_parameters({name: value.detach() for name, value in net.named_parameters()})
    return made


@pytest.mark.parametrize("kind, options", CASES, ids=str)
def test_every_parameter_is_drawn(kind, options):
    bound = 20**-0.5
    for seed in range(50):
        # Memory that is used again holds what was there.
        for size in (20, 40, 60, 80, 120):
            torch.full((size,), float("nan"))
        torch.manual_seed(seed)
        for name, value in getattr(fused, kind)(3, 20, 2, **options).named_parameters():
            assert name.startswith("norm") or value.abs().max() <= bound, name
            assert name.startswith("norm") or value.std() > 0.3 * bound, name


@pytest.mark.parametrize("kind, options", CASES, ids=str)
def test_training_has_the_bits_of_the_numpy_api(kind, options, monkeypatch):
    torch.manual_seed(0)
    net = getattr(fused, kind)(3, 20, 2, **options)
    monkeypatch.setattr(modules, "new_seed", lambda: 11)
    x = torch.randn(7, 4, 3, requires_grad=True)
    lengths, resets = torch.tensor([7, 0, 3, 5]), torch.rand(4, 7) < 0.2
    y, state = net(x, lengths=lengths, resets=resets)
    y.pow(2).sum().backward()
    other = twin(net)
    y2, state2, tape = other.forward_train(
        x.detach().numpy(), lengths=lengths, resets=resets.numpy(), seed=11
    )
    assert np.array_equal(y.detach(), y2)
    assert all(np.array_equal(a.detach(), b) for a, b in zip(parts(state), parts(state2)))
    gradients = other.backward(x.detach().numpy(), tape, 2 * y2)
    assert np.array_equal(x.grad, gradients.x)
    for name, p in net.named_parameters():
        assert np.array_equal(p.grad, gradients.parameters[name]), name
    # Evaluation draws nothing.
    net.eval()
    with torch.no_grad():
        y, _ = net(x, lengths=lengths)
    assert np.array_equal(y, other(x.detach().numpy(), lengths=lengths)[0])


@pytest.mark.parametrize("kind, options", CASES, ids=str)
def test_modules_with_extras_are_modules(kind, options):
    torch.manual_seed(0)
    net = getattr(fused, kind)(3, 8, 2, **options).eval()
    x = torch.randn(5, 2, 3)
    other = getattr(fused, kind)(3, 8, 2, **options).eval()
    with torch.no_grad():
        expected = net(x)[0]
        other.load_state_dict(net.state_dict())
        for same in (other, copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
            assert torch.equal(same(x)[0], expected) and repr(same) == repr(net)
    for name, value in options.items():
        if name not in ("proj_size", "dropout", "bidirectional", "nonlinearity"):
            assert f"{name}=" in repr(net)
    for name, p in net.named_parameters():
        if name.startswith("norm_"):
            assert p[0].eq(1).all() and (p.eq(1).all() or name.startswith("norm_c"))
    names = [n for group in net._all_weights for n in group]
    assert names == net._flat_weights_names and sorted(names) == sorted(n for n, _ in net.named_parameters())


def test_zoneout_in_evaluation_has_no_gradient():
    net, x = fused.GRU(3, 5, zoneout=0.5).eval(), torch.randn(4, 2, 3)
    with pytest.raises(NotImplementedError, match="zoneout with gradients in evaluation"):
        net(x)


def test_wrong_extras_are_named():
    with pytest.raises(ValueError, match="not supported: peepholes of a cell other than the LSTM"):
        fused.GRU(3, 5, peephole=True)
    with pytest.raises(ValueError, match="recurrent_dropout: expected a probability"):
        fused.GRU(3, 5, recurrent_dropout=1.0)
    with pytest.raises(TypeError):
        fused.GRU(3, 5, depth=2)


@pytest.mark.parametrize("precision", ["f32", "bf16_weights", "bf16", "int8"])
@pytest.mark.parametrize(
    "kind, options", [*CASES[1:3], ("GRU", dict(num_layers=2, bidirectional=True)), ("RNN", {})]
)
def test_a_layer_in_another_precision_has_the_bits_of_the_numpy_api(kind, options, precision):
    torch.manual_seed(0)
    net = getattr(fused, kind)(3, 20, batch_first=True, **options)
    other, x = net.in_precision(precision), torch.randn(4, 7, 3)
    state, lengths = net.state_dict(), torch.tensor([7, 0, 3, 5])
    numpys = twin(net).in_precision(precision)
    assert other.state_dict().keys() == state.keys() and (precision == "f32") == (repr(other) == repr(net))
    with torch.no_grad():
        y, hn = other(x, lengths=lengths)
        y2, hn2 = numpys(x.numpy(), lengths=lengths)
        assert np.array_equal(y, y2) and all(np.array_equal(a, b) for a, b in zip(parts(hn), parts(hn2)))
        assert torch.equal(y, net(x, lengths=lengths)[0]) == (precision == "f32")
        for same in (copy.deepcopy(other), pickle.loads(pickle.dumps(other)), other.in_precision(precision)):
            assert torch.equal(same(x, lengths=lengths)[0], y)
        # The way back; and weights that change later are rounded anew.
        assert torch.equal(other.in_precision("f32")(x)[0], net(x)[0])
        before = net.weight_hh_l0.clone()
        other.weight_hh_l0.mul_(0.5)
        assert not torch.equal(other(x, lengths=lengths)[0], y) and torch.equal(net.weight_hh_l0, before)
    if precision == "int8":
        assert not any(p.requires_grad for p in other.parameters()) and net.weight_hh_l0.requires_grad
        assert not other(x)[0].requires_grad
        with pytest.raises(NotImplementedError, match="precision with gradients, which int8 has none of"):
            other(x.requires_grad_())
        assert fused.why(other, x).startswith("gradients")
    else:
        other = net.in_precision(precision)
        other(x)[0].pow(2).sum().backward()
        y2, _, tape = numpys.forward_train(x.numpy())
        gradients = numpys.backward(x.numpy(), tape, 2 * y2).parameters
        for name, p in other.named_parameters():
            assert np.array_equal(p.grad, gradients[name]), name
        assert net.weight_hh_l0.grad is None


def test_precisions_that_a_layer_has_not():
    net, x = fused.LSTM(3, 5, 2, dropout=0.5), torch.randn(4, 2, 3)
    with pytest.raises(ValueError, match=r'precision: expected f32, bf16_weights, bf16, int8, got "int4"'):
        net.in_precision("int4")
    with pytest.raises(ValueError, match=r'precision: expected f32, bf16_weights, bf16, int8, got "half"'):
        fused.GRU(3, 5, precision="half")
    small = net.in_precision("int8")
    with pytest.raises(NotImplementedError, match="with dropout in training, which int8 has none of"):
        small(x)
    assert torch.is_tensor(small.eval()(x)[0])
    with pytest.raises(NotImplementedError, match="precision with input that is torch.float64"):
        small(x.double())
    with pytest.raises(ValueError, match="PyTorch has no precision"):
        fused.revert(small)
    # A layer that was converted, in a model.
    model = fused.convert(torch.nn.Sequential(torch.nn.GRU(3, 5))).eval()
    with torch.no_grad():
        y = model(x)[0]
        model[0] = model[0].in_precision("bf16_weights")
        assert 0 < (model(x)[0] - y).abs().max() < 0.05


def test_a_length_below_zero_is_told_as_it_is():
    net = fused.GRU(3, 5, batch_first=True)
    for training in (True, False):
        with (
            torch.set_grad_enabled(training),
            pytest.raises(ValueError, match="length of row 1: expected at least 0 steps, got -1"),
        ):
            net(torch.zeros(2, 6, 3), lengths=torch.tensor([6, -1]))


def test_zoneout_of_nothing_has_gradients_in_evaluation():
    for nothing in (0.0, (0.0, 0.0)):
        net = fused.GRU(3, 5, zoneout=nothing).eval()
        net(torch.zeros(2, 6, 3))[0].sum().backward()
        assert net.bias_hh_l0.grad.any()


def test_any_byte_but_zero_is_a_reset():
    net, x, resets = fused.GRU(3, 5, batch_first=True), torch.randn(2, 6, 3), torch.rand(2, 6) < 0.3
    odd = (resets.to(torch.uint8) * 2).view(torch.bool)
    assert torch.equal(net(x, resets=odd)[0], net(x, resets=resets)[0])
    turned = odd.t().contiguous().t()
    assert torch.equal(net(x, resets=turned)[0], net(x, resets=resets)[0])


def test_lengths_and_resets_may_be_filled_again_before_backward():
    torch.manual_seed(0)
    net, x = fused.LSTM(3, 8), torch.randn(6, 2, 3)
    for name, before, after in (
        ("lengths", torch.tensor([6, 2]), torch.tensor([1, 6])),
        ("resets", torch.rand(2, 6) < 0.3, torch.zeros(2, 6, dtype=torch.bool)),
    ):
        found = []
        for new in (before, after):
            net.zero_grad()
            given = before.clone()
            y, _ = net(x, **{name: given})
            given.copy_(new)
            y.pow(2).sum().backward()
            found.append(net.weight_hh_l0.grad.clone())
        assert torch.equal(*found), name


def test_an_inference_tensor_may_be_the_input_of_training():
    net = fused.GRU(3, 5)
    with torch.inference_mode():
        x = torch.randn(4, 2, 3)
    net(x)[0].sum().backward()
    assert net.weight_ih_l0.grad.any()
