"""The Python package beside PyTorch: packed and padded training, a streamed step, a call of one step.

What: `fused_rnn.torch` and `torch.nn` in one process, in turns, so that what else the machine does falls on
both; medians over rounds, and the median of the ratios of a round (above 1 this package is faster). With
--crate also this crate's own bench of padded training, in turns with both.

| measured | shape |
|---|---|
| packed | an epoch: batches of 32 rows with lengths even over 10 to 200, 256 units and inputs, Adam |
| padded | a training step of 32 rows, 100 steps, 256 units, 256 inputs, gradient of ones, no optimiser |
| step   | one step of 64 units: `fused_rnn.LSTM(64, 64).stream().step` beside `nn.LSTMCell(64, 64)` |
| call   | a call without gradients of one row, one step, 16 units |

usage: python benches/peers/python.py [--threads 1,2] [--rounds 9] [--only packed,padded] [--crate]
                                       [--json FILE]
needs: the package with PyTorch in this Python: pip install "./bindings/python[torch]"; --crate needs cargo
"""

import argparse
import copy
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TARGETS = {"packed LSTM": 4.0, "packed GRU": 5.0, "step LSTM": 10.0, "call LSTM": 1.0, "call GRU": 1.0}


def timed(call, seconds):
    """The median time of a call, of at least one and of as many as take so many seconds."""
    call()
    times, end = [], time.perf_counter() + seconds
    while not times or time.perf_counter() < end:
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def many(call, count):
    """So many calls as one, for what takes microseconds."""

    def repeated():
        for _ in range(count):
            call()

    return repeated


def cases(only):
    """Name, what is timed of this package and of PyTorch, and how many calls that is."""
    import numpy as np
    import torch
    from torch.nn.utils.rnn import pack_sequence

    import fused_rnn
    import fused_rnn.torch

    torch.manual_seed(0)
    for kind in ("LSTM", "GRU"):
        if "packed" in only:
            theirs = getattr(torch.nn, kind)(256, 256)
            lengths = torch.linspace(10, 200, 32).long().tolist()
            data = [pack_sequence([torch.randn(n, 256) for n in lengths[::-1]]) for _ in range(2)]

            def epoch(model, optimizer):
                for rows in data:
                    optimizer.zero_grad()
                    model(rows)[0].data.pow(2).mean().backward()
                    optimizer.step()

            both = [fused_rnn.torch.convert(copy.deepcopy(theirs)), theirs]
            both = [(model, torch.optim.Adam(model.parameters())) for model in both]
            yield f"packed {kind}", *(lambda pair=pair: epoch(*pair) for pair in both), len(data)
        if "padded" in only:
            theirs = getattr(torch.nn, kind)(256, 256, batch_first=True)
            both = [fused_rnn.torch.convert(copy.deepcopy(theirs)), theirs]
            x, ones = torch.randn(32, 100, 256, requires_grad=True), torch.ones(32, 100, 256)

            def step(model):
                x.grad = None
                model.zero_grad()
                model(x)[0].backward(ones)

            yield f"padded {kind}", *(lambda model=model: step(model) for model in both), 1
        if "call" in only:
            theirs, x = getattr(torch.nn, kind)(1, 16), torch.randn(1, 1, 1)
            both = [fused_rnn.torch.convert(copy.deepcopy(theirs)), theirs]

            def call(model):
                with torch.inference_mode():
                    model(x)

            yield f"call {kind}", *(many(lambda model=model: call(model), 200) for model in both), 200
    if "step" in only:
        cell, x = torch.nn.LSTMCell(64, 64), torch.randn(1, 64)
        state, stream = (torch.zeros(1, 64), torch.zeros(1, 64)), fused_rnn.LSTM(64, 64).stream()
        frame, out = np.zeros(64, np.float32), np.empty(64, np.float32)

        def step_of_torch():
            nonlocal state
            state = cell(x, state)

        with torch.inference_mode():
            yield "step LSTM", many(lambda: stream.step(frame, out), 1000), many(step_of_torch, 1000), 1000


def crate(kind, threads):
    """Seconds of a training step of the padded shape, by the crate's own bench."""
    shape = f"{kind.lower()} B32 T100 I256 H256 L1"
    command = [
        "cargo",
        "bench",
        "--quiet",
        "--bench",
        "grid",
        "--",
        "--mode",
        "train",
        "--threads",
        str(threads),
        "--shape",
        shape,
        "--json",
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    lines = [json.loads(line) for line in done.stdout.splitlines() if '"peer"' in line]
    if done.returncode or not lines:
        sys.exit(f"{' '.join(command)}: {done.stderr.strip()[-500:] or done.stdout[-500:]}")
    return lines[0]["med_us"] / 1e6


def measure(threads, options):
    """Rows of the table for so many threads, in a process of its own."""
    import torch

    torch.set_num_threads(threads)
    rows = []
    for name, ours, theirs, count in cases(options.only):
        pairs = [
            (timed(ours, options.seconds) / count, timed(theirs, options.seconds) / count)
            for _ in range(options.rounds)
        ]
        fast, slow = (statistics.median(times) for times in zip(*pairs))
        ratio = statistics.median(b / a for a, b in pairs)
        rows.append({"name": name, "threads": threads, "fused_rnn": fast, "torch": slow, "ratio": ratio})
        if options.crate and name.startswith("padded"):
            again = [(timed(ours, options.seconds), crate(name.split()[1], threads)) for _ in range(3)]
            rows[-1]["crate"] = statistics.median(a / b for a, b in again)
    return rows


def main():
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0] + " Ratios are PyTorch's time over this package's.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--threads", default="1,2", help="numbers of threads, with commas")
    parser.add_argument("--rounds", type=int, default=9, help="turns of each")
    parser.add_argument("--seconds", type=float, default=0.5, help="of each turn")
    parser.add_argument("--only", default="packed,padded,step,call", help="some of them, with commas")
    parser.add_argument("--crate", action="store_true", help="also the crate's own bench of padded training")
    parser.add_argument("--json", help="also write everything here")
    parser.add_argument("--worker", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    options.only = options.only.split(",")
    if options.worker:
        print(json.dumps(measure(options.worker, options)))
        return
    rows = []
    for threads in options.threads.split(","):
        # (PyTorch's threads would spin between its regions, on the cores of whoever comes next.)
        environment = os.environ | {"OMP_NUM_THREADS": threads, "OMP_WAIT_POLICY": "passive"}
        done = subprocess.run(
            [sys.executable, __file__, *sys.argv[1:], "--worker", threads],
            check=True,
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
        )
        rows += json.loads(done.stdout)
    print(f"{'':14}{'threads':>8}{'fused_rnn':>14}{'torch':>14}{'ratio':>8}{'wanted':>8}{'/ crate':>9}")
    for row in rows:
        own, other = (f"{row[key] * 1e6:.2f} us" for key in ("fused_rnn", "torch"))
        wanted, crate_ratio = TARGETS.get(row["name"], ""), row.get("crate")
        beside = "" if crate_ratio is None else f"{crate_ratio:.2f}"
        sizes = f"{row['threads']:>8}{own:>14}{other:>14}{row['ratio']:>8.2f}"
        print(f"{row['name']:14}{sizes}{wanted:>8}{beside:>9}")
    if options.json:
        Path(options.json).write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
