"""Forked processes, workers of a DataLoader, threads, and data-parallel training."""

import os
import subprocess
import sys
import threading

import pytest
import torch

from fused_rnn.torch._call import Call, kernel_of
from torch_cases import KINDS, module, ours


def run(code, timeout=120, threads="2"):
    environment = os.environ | {"OMP_NUM_THREADS": threads}
    return subprocess.run(
        [sys.executable, "-c", code],
        timeout=timeout,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_child_that_was_forked_after_threads_ran_computes_the_same():
    done = run("""
import os, sys, warnings, torch, fused_rnn.torch as fused
warnings.simplefilter("ignore")
torch.manual_seed(0)
net, x = fused.GRU(64, 256), torch.ones(50, 32, 64)

def gradient():
    net.zero_grad()
    net(x)[0].sum().backward()
    return net.weight_hh_l0.grad.clone()

with torch.no_grad():
    y, _ = net(x)
expected = gradient()
child = os.fork()
if child == 0:
    # (Not by PyTorch's operators, whose threads the child does not have.)
    with torch.no_grad():
        os._exit(0 if (net(x)[0].numpy() == y.numpy()).all() else 3)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
assert torch.equal(gradient(), expected)
""")
    assert done.returncode == 0, done.stderr


def test_workers_of_a_data_loader_may_call_the_module():
    done = run("""
import torch, fused_rnn.torch as fused

net = fused.LSTM(64, 256)

class Features(torch.utils.data.Dataset):
    def __len__(self):
        return 6

    def __getitem__(self, n):
        with torch.no_grad():
            return net(torch.full((40, 16, 64), n / 6))[0][-1]

if __name__ == "__main__":
    torch.multiprocessing.set_start_method("fork")
    data = Features()
    expected = torch.stack([data[n] for n in range(6)])
    loader = torch.utils.data.DataLoader(data, batch_size=2, num_workers=2)
    for epoch in range(2):
        assert torch.equal(torch.cat(list(loader)), expected)
""")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("kind", KINDS)
def test_threads_share_a_module_and_its_backward(kind):
    net, x = ours(module(kind, 8, 64)), torch.randn(30, 8, 8)
    loss = net(x)[0].pow(2).sum()
    expected, wrong = torch.autograd.grad(loss, list(net.parameters())), []
    zeros = [torch.zeros_like(p).detach() for p in net.parameters()]

    def with_gradients():
        got = torch.autograd.grad(net(x)[0].pow(2).sum(), list(net.parameters()))
        if not all(torch.equal(a, b) for a, b in zip(got, expected)):
            wrong.append("gradients")

    def with_other_weights():
        call = Call(kernel_of(net, net._spec(True)), 8, 30)
        if call.forward(x, None, None, zeros, False)[0].any():
            wrong.append("others")

    def work(n):
        for _ in range(10):
            (with_other_weights if n % 2 else with_gradients)()

    threads = [threading.Thread(target=work, args=(n,)) for n in (0, 1, 2, 3)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert not wrong


def test_threads_call_a_module_whose_weights_change():
    """Calls that are shared among threads, one of which may begin another's call while it waits."""
    net, x = ours(module("LSTM", 32, 128, 2)), torch.randn(50, 16, 32)
    ends, wrong = threading.Event(), []

    def serve():
        with torch.no_grad():
            while not ends.is_set():
                if not torch.isfinite(net(x)[0]).all():
                    wrong.append("values")

    threads = [threading.Thread(target=serve, daemon=True) for _ in range(2)]
    [thread.start() for thread in threads]
    with torch.no_grad():
        for _ in range(100):
            net.weight_hh_l1.add_(1e-6)
            net(x)
    ends.set()
    [thread.join(60) for thread in threads]
    assert not wrong and not any(thread.is_alive() for thread in threads)


FORMS = [
    {},
    {"find_unused_parameters": True},
    {"static_graph": True},
    {"gradient_as_bucket_view": True},
    {"bucket_cap_mb": 0.001},
]


def test_distributed_data_parallel(tmp_path):
    """Two processes over gloo, in every form of DistributedDataParallel: ranks equal, and one process's."""
    script = tmp_path / "ranks.py"
    script.write_text("""
import sys
import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel
import fused_rnn.torch as fused


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn, self.head = fused.LSTM(3, 8, 2, bidirectional=True), torch.nn.Linear(16, 2)

    def forward(self, x):
        y, _ = self.rnn(x)
        return self.head(y if isinstance(y, torch.Tensor) else y.data)


def batch(step, packed, rows):
    x = torch.randn(7, 8, 3, generator=torch.Generator().manual_seed(step))[:, rows]
    return torch.nn.utils.rnn.pack_padded_sequence(x, [7, 5, 3, 2]) if packed else x


def train(net, packed, rows):
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    for step in range(4):
        optimizer.zero_grad()
        net(batch(step, packed, rows)).pow(2).mean().backward()
        optimizer.step()
    return torch.cat([p.detach().flatten() for p in net.parameters()])


def work(rank, port, forms):
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=2)
    for form in forms:
        for packed in (False, True):
            torch.manual_seed(0)
            mine = train(DistributedDataParallel(Net(), **form), packed, slice(rank * 4, rank * 4 + 4))
            both = [torch.empty_like(mine) for _ in range(2)]
            dist.all_gather(both, mine)
            assert torch.equal(*both), (form, packed)
            if not packed:
                torch.manual_seed(0)
                alone = train(Net(), packed, slice(0, 8))
                assert (mine - alone).abs().max() < 1e-6, (form, (mine - alone).abs().max())
    dist.destroy_process_group()


if __name__ == "__main__":
    torch.multiprocessing.spawn(work, args=(int(sys.argv[1]), eval(sys.argv[2])), nprocs=2)
""")
    import socket

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    done = subprocess.run(
        [sys.executable, script, str(port), repr(FORMS)],
        timeout=400,
        capture_output=True,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
