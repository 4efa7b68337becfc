"""Data-parallel training with DistributedDataParallel over gloo: processes on one machine, one loss curve.

What: each process takes its part of every batch; gradients are averaged, so that all have the same
weights. At the end the first process trains alone on whole batches and compares: the losses are the same up to
the rounding of sums.

usage: python examples/data_parallel.py [--processes 2] [--steps 60] [--units 64]
needs: pip install ".[torch,examples]"
"""

import argparse
import socket

import torch
import torch.distributed as dist
from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from torch.nn.parallel import DistributedDataParallel

import fused_rnn.torch


class Model(torch.nn.Module):
    def __init__(self, units):
        super().__init__()
        self.rnn, self.head = fused_rnn.torch.LSTM(4, units, 2), torch.nn.Linear(units, 1)

    def forward(self, x):
        return self.head(self.rnn(x)[0])


def batch(step, rows=32, steps=40):
    """Sequences, and their running means."""
    x = torch.randn(steps, rows, 4, generator=torch.Generator().manual_seed(step))
    return x, x[:, :, :1].cumsum(0) / torch.arange(1, steps + 1).view(-1, 1, 1) ** 0.5


def train(model, steps, part, mean, progress):
    """The losses of so many steps, each the mean over all processes."""
    optimizer, losses = torch.optim.Adam(model.parameters(), 3e-3), []
    task = progress.add_task("training", total=steps) if progress else None
    for step in range(steps):
        x, target = (values[:, part] for values in batch(step))
        optimizer.zero_grad()
        loss = (model(x) - target).pow(2).mean()
        loss.backward()
        optimizer.step()
        losses.append(mean(loss.detach()))
        if progress:
            progress.update(task, advance=1)
    return losses


def work(rank, options, port):
    torch.set_num_threads(max(1, torch.get_num_threads() // options.processes))
    dist.init_process_group("gloo", f"tcp://127.0.0.1:{port}", rank=rank, world_size=options.processes)
    torch.manual_seed(0)
    model = DistributedDataParallel(Model(options.units))
    rows = 32 // options.processes

    def mean(loss):
        dist.all_reduce(loss)
        return loss.item() / options.processes

    console = Console()
    with Progress(console=console, disable=rank > 0) as progress:
        losses = train(model, options.steps, slice(rank * rows, (rank + 1) * rows), mean, progress)
    dist.destroy_process_group()
    if rank > 0:
        return
    torch.manual_seed(0)
    with Progress(console=console) as progress:
        alone = train(Model(options.units), options.steps, slice(None), torch.Tensor.item, progress)
    table = Table("step", f"{options.processes} processes", "one process")
    for step in sorted({0, *range(9, options.steps, 10), options.steps - 1}):
        table.add_row(str(step + 1), f"{losses[step]:.6f}", f"{alone[step]:.6f}")
    console.print(table)
    worst = max(abs(a - b) for a, b in zip(losses, alone))
    console.print(f"largest difference of the losses: {worst:.1e}")
    assert worst < 1e-4


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--processes", type=int, default=2, choices=[1, 2, 4, 8])
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--units", type=int, default=64)
    options = parser.parse_args()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    torch.multiprocessing.spawn(work, args=(options, port), nprocs=options.processes)


if __name__ == "__main__":
    main()
