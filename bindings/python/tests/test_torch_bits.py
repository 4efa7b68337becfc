"""Promises of equal bits, through PyTorch."""

import copy
import os
import subprocess
import sys

import pytest
import torch
from torch.nn.utils.rnn import pack_sequence, unpack_sequence

import fused_rnn
import fused_rnn.torch as fused
from torch_cases import KINDS, module, ours, parts

FORMS = [dict(), dict(num_layers=2, bidirectional=True), dict(batch_first=True, num_layers=2)]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("form", FORMS, ids=str)
def test_packed_and_padded_and_one_by_one_are_the_same(kind, form):
    net = ours(module(kind, 5, 24, **form))
    rows = [torch.randn(length, 5) for length in (7, 3, 7, 1, 5)]
    lengths = torch.tensor([len(row) for row in rows])
    padded = torch.nn.utils.rnn.pad_sequence(rows, batch_first=net.batch_first)
    y, state = net(padded, lengths=lengths)
    y = y if net.batch_first else y.transpose(0, 1)
    of_packed, packed_state = net(pack_sequence(rows, enforce_sorted=False))
    assert all(torch.equal(a, b) for a, b in zip(parts(state), parts(packed_state)))
    for n, (row, unpacked) in enumerate(zip(rows, unpack_sequence(of_packed))):
        alone, end = net(row)
        assert torch.equal(unpacked, alone) and torch.equal(y[n, : len(row)], alone)
        assert not y[n, len(row) :].any()
        assert all(torch.equal(a[:, n], b) for a, b in zip(parts(state), parts(end)))


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_of_packed_and_padded_are_the_same(kind):
    net = ours(module(kind, 5, 24, 2, bidirectional=True))
    rows = [torch.randn(length, 5) for length in (7, 5, 3)]
    results = []
    for form in ("packed", "padded"):
        net.zero_grad()
        leaves = [row.clone().requires_grad_() for row in rows]
        if form == "packed":
            y, _ = net(pack_sequence(leaves))
            loss = y.data.pow(2).sum()
        else:
            padded = torch.nn.utils.rnn.pad_sequence(leaves)
            loss = net(padded, lengths=torch.tensor([7, 5, 3]))[0].pow(2).sum()
        loss.backward()
        results.append([leaf.grad for leaf in leaves] + [p.grad.clone() for p in net.parameters()])
    assert all(torch.equal(a, b) for a, b in zip(*results))


@pytest.mark.parametrize("kind", KINDS)
def test_a_sequence_may_be_cut_and_numpy_gives_the_same(kind):
    net, x = ours(module(kind, 5, 24, 2)), torch.randn(9, 3, 5)
    with torch.no_grad():
        y, state = net(x)
        first, middle = net(x[:4])
        second, end = net(x[4:], middle)
    assert torch.equal(torch.cat([first, second]), y)
    assert all(torch.equal(a, b) for a, b in zip(parts(state), parts(end)))
    twin = fused_rnn.load_torch(
        net.state_dict(), kind="rnn_tanh" if kind == "RNN" else None, batch_first=False
    )
    assert torch.equal(torch.from_numpy(twin(x.numpy())[0]), y)
    # Training gives the same bits.
    assert torch.equal(net(x)[0].detach(), y)


@pytest.mark.parametrize("kind", KINDS)
def test_resets_begin_anew(kind):
    net, x = ours(module(kind, 5, 24)), torch.randn(9, 2, 5)
    resets = torch.zeros(2, 9, dtype=torch.bool)
    resets[:, 4] = True
    y, _ = net(x, resets=resets)
    assert torch.equal(y, torch.cat([net(x[:4])[0], net(x[4:])[0]]))


def test_threads_change_nothing():
    code = """
import sys, torch, hashlib, fused_rnn.torch as fused
torch.manual_seed(0)
digest = hashlib.sha256()
for threads in eval(sys.argv[1]):
    torch.set_num_threads(threads)
for kind in ("LSTM", "GRU", "RNN"):
    for both in (False, True):
        net = getattr(fused, kind)(32, 96, 2, bidirectional=both)
        x = torch.randn(40, 16, 32, requires_grad=True)
        y, _ = net(x)
        y.pow(2).sum().backward()
        for t in (y, x.grad, *(p.grad for p in net.parameters())):
            digest.update(t.detach().numpy().tobytes())
print(digest.hexdigest())
"""
    said = set()
    for threads in ("[1]", "[2]", "[3]", "[1, 2]"):
        done = subprocess.run(
            [sys.executable, "-c", code, threads],
            capture_output=True,
            text=True,
            timeout=300,
            env=os.environ | {"OMP_NUM_THREADS": "2"},
            check=True,
        )
        said.add(done.stdout)
    assert len(said) == 1


def test_floats_at_odd_addresses_have_the_same_bits():
    """Views of bytes may begin anywhere."""

    def moved(tensor):
        memory = bytearray(b"\0" + tensor.detach().numpy().tobytes())
        tensor = torch.frombuffer(memory, dtype=torch.float32, offset=1).view(tensor.shape)
        assert tensor.data_ptr() % 4 != 0
        return tensor

    def results(net, x, states, upstream):
        x = x.requires_grad_()
        y, (h, c) = net(x, states)
        gradients = torch.autograd.grad((y, h, c), [x, *net.parameters()], upstream)
        return [y, h, c, *gradients]

    net = fused.LSTM(3, 5)
    other = copy.deepcopy(net)
    for parameter in other.parameters():
        parameter.data = moved(parameter)
    x, states = torch.randn(4, 2, 3), (torch.randn(1, 2, 5), torch.randn(1, 2, 5))
    upstream = [torch.randn(4, 2, 5), torch.randn(1, 2, 5), torch.randn(1, 2, 5)]
    expected = results(net, x.clone(), states, upstream)
    got = results(other, moved(x), tuple(map(moved, states)), list(map(moved, upstream)))
    assert all(torch.equal(one, two) for one, two in zip(got, expected))
