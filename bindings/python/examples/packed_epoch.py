"""An epoch of training on packed sequences, before and after one line: `fused_rnn.torch.convert(model)`.

What: rows of different lengths, whose sums of a noisy feature the model is to tell; a recurrent layer and a
head, Adam, packed batches of like lengths. Both runs begin with the same weights and see the same batches,
and a table shows their times and losses.

usage: python examples/packed_epoch.py [--kind LSTM] [--units 256] [--rows 512] [--batch 32] [--longest 200]
needs: pip install ".[torch,examples]"
"""

import argparse
import copy
import time

import torch
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table
from torch.nn.utils.rnn import pack_sequence

import fused_rnn.torch


class Model(torch.nn.Module):
    """The sum of a row, from the state after its last step."""

    def __init__(self, kind, features, units):
        super().__init__()
        self.rnn = getattr(torch.nn, kind)(features, units)
        self.head = torch.nn.Linear(units, 1)

    def forward(self, rows):
        _, state = self.rnn(rows)
        return self.head((state[0] if isinstance(state, tuple) else state)[-1]).squeeze(-1)


def batches(rows, size, longest, features):
    """Rows with lengths even over 10 to `longest`, in batches of rows that are packed together."""
    lengths = torch.linspace(10, longest, rows).long()[torch.randperm(rows)]
    data = [torch.randn(int(length), features) for length in lengths]
    for start in range(0, rows, size):
        some = data[start : start + size]
        yield pack_sequence(some, enforce_sorted=False), torch.stack([row[:, 0].mean() * 3 for row in some])


def epoch(model, data, progress, name):
    """One epoch; its seconds and the losses of its batches."""
    optimizer, losses = torch.optim.Adam(model.parameters(), 1e-3), []
    task = progress.add_task(name, total=len(data), loss="")
    start = time.perf_counter()
    for rows, target in data:
        optimizer.zero_grad()
        loss = (model(rows) - target).pow(2).mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        progress.update(task, advance=1, loss=f"loss {losses[-1]:.4f}")
    return time.perf_counter() - start, losses


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kind", choices=["LSTM", "GRU", "RNN"], default="LSTM")
    for name, value in (
        ("units", 256),
        ("features", 32),
        ("rows", 512),
        ("batch", 32),
        ("longest", 200),
        ("seed", 0),
    ):
        parser.add_argument(f"--{name}", type=int, default=value)
    options = parser.parse_args()
    torch.manual_seed(options.seed)
    data = list(batches(options.rows, options.batch, options.longest, options.features))
    before = Model(options.kind, options.features, options.units)
    after = fused_rnn.torch.convert(copy.deepcopy(before))  # the one line

    console = Console()
    columns = (
        TextColumn("{task.description:24}"),
        BarColumn(),
        TextColumn("{task.completed}/{task.total} batches"),
    )
    columns += TextColumn("{task.fields[loss]}"), TimeElapsedColumn(), TimeRemainingColumn()
    with Progress(*columns, console=console) as progress:
        runs = {
            name: epoch(model, data, progress, name)
            for name, model in (
                (f"torch.nn.{options.kind}", before),
                (f"fused_rnn.torch.{options.kind}", after),
            )
        }

    table = Table(
        title=f"One epoch: {options.rows} rows of 10 to {options.longest} steps, {options.units} units, "
        f"{torch.get_num_threads()} threads"
    )
    for heading in ("layer", "seconds", "steps / s", "mean loss", "times as fast"):
        table.add_column(heading, justify="left" if heading == "layer" else "right")
    steps, first = sum(len(rows.data) for rows, _ in data), next(iter(runs.values()))[0]
    for name, (seconds, losses) in runs.items():
        mean = sum(losses) / len(losses)
        table.add_row(
            name, f"{seconds:.2f}", f"{steps / seconds:,.0f}", f"{mean:.5f}", f"{first / seconds:.1f}"
        )
    console.print(table)


if __name__ == "__main__":
    main()
