"""Transforms of `torch.func` and gradients of many losses at a time: as PyTorch's own layers have them."""

import pytest
import torch
from torch import func
from torch.autograd import functional

import fused_rnn.torch as fused
from torch_cases import KINDS, module, ours

CASES = [*KINDS, "LSTMCell", "GRUCell", "RNNCell"]


def first(net):
    """The first output as a function of the input."""

    def call(x):
        out = net(x)
        return out[0] if isinstance(out, tuple) else out

    return call


def both(kind, of):
    """The same of PyTorch's layer and of ours, by the input and by the weights."""
    theirs = module(kind, 3, 5)
    torch.manual_seed(1)
    x = torch.randn(*((4, 2) if kind in KINDS else (2,)), 3)
    for net in (theirs, ours(theirs)):
        yield of(net, x)


TRANSFORMS = {
    "vjp": lambda net, x: func.vjp(first(net), x)[1](torch.ones_like(first(net)(x)))[0],
    "jacrev": lambda net, x: func.jacrev(first(net))(x),
    "jacrev in chunks": lambda net, x: func.jacrev(first(net), chunk_size=1)(x),
    "jacrev of grad": lambda net, x: func.jacrev(func.grad(lambda a: first(net)(a).pow(2).sum()))(x),
    "jacrev of jacrev": lambda net, x: func.jacrev(func.jacrev(lambda a: first(net)(a).pow(2).sum()))(x),
    "hessian": lambda net, x: functional.hessian(lambda a: first(net)(a).pow(2).sum(), x, vectorize=True),
    "jacobian": lambda net, x: functional.jacobian(first(net), x, vectorize=True),
    "jacobian, differentiable": lambda net, x: functional.jacobian(
        first(net), x, vectorize=True, create_graph=True
    ),
    "vjp by weights": lambda net, x: by_weights(net, x)["weight_ih_l0" if hasattr(net, "mode") else "weight_ih"],
}


def by_weights(net, x):
    weights = {name: value.detach() for name, value in net.named_parameters()}

    def call(weights):
        out = func.functional_call(net, weights, (x,))
        return out[0] if isinstance(out, tuple) else out

    y, back = func.vjp(call, weights)
    return back(torch.ones_like(y))[0]


@pytest.mark.parametrize("transform", TRANSFORMS)
@pytest.mark.parametrize("kind", CASES)
def test_as_pytorch(kind, transform):
    expected, got = both(kind, TRANSFORMS[transform])
    assert expected.abs().max() > 1e-3
    torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-6)


def test_a_default_device_is_no_reason_to_fall_back():
    net, x = fused.LSTM(3, 5, layer_norm=1e-5), torch.randn(4, 2, 3)
    expected = net(x)[0]
    with torch.device("cpu"):
        assert torch.equal(net(x)[0], expected)
        assert fused.why(net, x) is None
    with torch.device("meta"):
        assert "mode" in fused.why(net, x)


def test_why_says_what_a_call_would_do():
    net, cell, x = fused.GRU(3, 5), fused.GRUCell(3, 5), torch.randn(4, 2, 3)
    assert fused.why(net, x) is None and fused.why(cell, x[0]) is None
    assert fused.why(net, x, lengths=torch.tensor([4, 1])) is None
    assert "float64" in fused.why(net, x.double()) and "shape" in fused.why(cell, x[0, :, :2])
    assert "Linear" in fused.why(torch.nn.Linear(3, 5), x)
