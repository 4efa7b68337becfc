"""Nothing leaks: the tape goes with the graph, and memory stays flat."""

import gc
import os
import random

import pytest
import torch

import fused_rnn.torch as fused
from fused_rnn.torch import _call


def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_the_tape_is_freed_by_backward_though_the_loss_is_kept():
    net, x = fused.LSTM(3, 8), torch.randn(5, 2, 3)
    y, _ = net(x)
    node, loss = y.grad_fn, y.sum()
    del y
    assert len(node.saved_tensors) == 8
    loss.backward()
    with pytest.raises(RuntimeError, match="saved"):
        node.saved_tensors  # noqa: B018
    assert loss.grad_fn is not None


def test_hooks_of_saved_tensors_see_the_tape():
    net, x, seen = fused.LSTM(3, 8), torch.randn(5, 2, 3), [0]

    def pack(tensor):
        seen[0] += tensor.numel()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        net(x)
    assert seen[0] > x.numel() + sum(p.numel() for p in net.parameters()) + 4 * 8 * 10


def test_backward_may_run_twice_on_one_tape():
    net, x = fused.GRU(3, 8), torch.randn(5, 2, 3)
    y, _ = net(x)
    y.sum().backward(retain_graph=True)
    once = net.weight_hh_l0.grad.clone()
    y.sum().backward()
    assert torch.equal(net.weight_hh_l0.grad, 2 * once)


def test_kernels_go_with_their_module():
    gc.collect()  # (modules of other tests)
    before = len(_call._kernels)
    nets = [fused.LSTM(3, 8) for _ in range(5)]
    for net in nets:
        net(torch.randn(2, 1, 3))
        for dropout in (0.0, 0.5, 0.25):
            net.dropout, net.num_layers = dropout, 1
            net(torch.randn(2, 1, 3))
    assert len(_call._kernels) == before + 5
    assert all(len(kernels) <= 2 for kernels in _call._kernels.values())
    del nets, net
    gc.collect()
    assert len(_call._kernels) == before


@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="reads Linux's count of pages")
def test_ten_thousand_calls_of_random_lengths_leave_memory_flat():
    net = fused.LSTM(4, 16, 2)
    draw, kept = random.Random(0), []

    def calls(count):
        for n in range(count):
            x = torch.randn(draw.randint(1, 40), draw.randint(1, 8), 4)
            loss = net(x)[0].sum()
            if n % 4 == 0:
                loss.backward()
            kept.append(loss)  # as who logs losses does
            del kept[:-100]

    calls(2000)
    gc.collect()
    before = resident()
    calls(8000)
    gc.collect()
    assert resident() - before < 30 << 20, (resident() - before) / (1 << 20)
