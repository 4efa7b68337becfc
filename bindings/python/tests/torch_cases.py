"""What the tests of `fused_rnn.torch` share: modules of all options, and float64 as the judge."""

import copy

import torch
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence

import fused_rnn.torch as fused

KINDS = ["LSTM", "GRU", "RNN"]


def parts(state):
    return state if isinstance(state, tuple) else (state,)


def module(kind, *args, seed=0, **keywords):
    """PyTorch's module, reproducibly."""
    torch.manual_seed(seed)
    return getattr(torch.nn, kind)(*args, **keywords)


def ours(theirs):
    """A copy of it on the kernels."""
    return fused.convert(copy.deepcopy(theirs))


def packed(x, lengths, batch_first):
    return pack_padded_sequence(x, lengths, batch_first=batch_first, enforce_sorted=False)


def values_and_gradients(net, inputs, hx, lengths=None, wanted=None):
    """Outputs, states and gradients of a loss of all of them, as one list; None where one is not wanted.

    wanted: the names of the parameters, and "x" and "hx", whose gradients are computed; all by default.
    """
    dtype = next(net.parameters()).dtype
    x = inputs.detach().to(dtype).clone().requires_grad_(wanted is None or "x" in wanted)
    hx = (
        None
        if hx is None
        else tuple(
            state.detach().to(dtype).clone().requires_grad_(wanted is None or "hx" in wanted)
            for state in parts(hx)
        )
    )
    for name, parameter in net.named_parameters():
        parameter.grad = None
        parameter.requires_grad_(wanted is None or name in wanted)
    given = x if lengths is None else packed(x, lengths, net.batch_first)
    state = None if hx is None else hx if isinstance(net, torch.nn.LSTM) else hx[0]
    y, final = net(given, state)
    y = y.data if isinstance(y, PackedSequence) else y
    outputs = [y, *parts(final)]
    loss = 0
    for out in outputs:
        # Numbers that are the same for every dtype.
        weight = torch.sin(torch.arange(out.numel(), dtype=torch.float64)).view(out.shape).to(out.dtype)
        loss = loss + (out * weight).sum()
    if loss.requires_grad:
        loss.backward()
    grads = [x.grad, *(state.grad for state in hx or ()), *(p.grad for p in net.parameters())]
    return [out.detach() for out in outputs], grads


def error(got, judge):
    """The largest error beside the judge, over its largest magnitude."""
    return (
        max((got.double() - judge).abs().max().item() / max(judge.abs().max().item(), 1.0), 0.0)
        if got.numel()
        else 0.0
    )


def assert_as_exact_as_torch(net, fast, inputs, hx=None, lengths=None, wanted=None):
    """Values and gradients of `fast` are as near to float64 as those of PyTorch, twice its error allowed.

    Or as near as a chain of roundings ends on the average, some units in the last place: a bias's gradient is
    one chain over all places here, and on some machines a tree of sums in PyTorch.
    """
    judge = copy.deepcopy(net).double()
    places = inputs.numel() // inputs.shape[-1]
    chain = 2**-22 * places**0.5
    results = [values_and_gradients(one, inputs, hx, lengths, wanted) for one in (judge, net, fast)]
    for exact, theirs, got in zip(*(outputs + grads for outputs, grads in results), strict=True):
        assert (exact is None) == (got is None) == (theirs is None)
        if exact is None:
            continue
        assert got.shape == exact.shape and got.dtype == torch.float32
        allowed = max(2 * error(theirs, exact), 2e-6, chain)
        assert error(got, exact) <= allowed, (error(got, exact), error(theirs, exact))
