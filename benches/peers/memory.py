"""Peak memory and time of a training step, this crate beside PyTorch, each in a process of its own.

What: `cargo bench --bench memory` and, in turns with it, a Python process that makes one layer of PyTorch, runs forward
and backward into weights and input with ones from above, and tells its peak (`VmHWM`) and its median time.
Whole: the peak of the process, libraries and all. `calls`: the peak less what the process had before its first call, with
the layer, the input and the gradient from above already there: that leaves out Python and the libraries.

usage: python benches/peers/memory.py [--shape "lstm B32 T500 I256 H256 L1"] [--threads 1] [--rounds 3] [--json FILE]
needs: Linux, cargo, and PyTorch in this Python or in the environment of compare.py
"""
import argparse
import datetime
import json
import re
import statistics
import subprocess
import sys
import time
from pathlib import Path

import environment
import record

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]


def status(name):
    text = Path("/proc/self/status").read_text()
    return int(re.search(rf"^{name}:\s+(\d+) kB", text, re.M).group(1)) * 1024


def torch_child(shape, threads, seconds):
    """One layer of PyTorch; prints one JSON line."""
    import torch

    kind, *sizes = shape.split()
    size = {part[0]: int(part[1:]) for part in sizes if part != "bi"}
    if kind not in ("lstm", "gru"):
        raise SystemExit(f"{shape}: expected lstm or gru")
    torch.set_num_threads(threads)
    make = torch.nn.LSTM if kind == "lstm" else torch.nn.GRU
    layer = make(size["I"], size["H"], size["L"], bidirectional="bi" in sizes)
    x = torch.rand(size["T"], size["B"], size["I"]).requires_grad_()
    dy = torch.ones(size["T"], size["B"], size["H"] * (2 if "bi" in sizes else 1))
    before = status("VmRSS")

    def call():
        y, _ = layer(x)
        y.backward(dy)

    call()
    times, start = [], time.perf_counter()
    while len(times) < 3 or time.perf_counter() - start < seconds:
        began = time.perf_counter()
        call()
        times.append(time.perf_counter() - began)
    peak = status("VmHWM")
    print(json.dumps({"version": torch.__version__, "peak_bytes": peak, "calls_bytes": peak - before, "median_us": statistics.median(times) * 1e6}))


def lines(command):
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr.strip().splitlines()[-1])
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


def main():
    parser = argparse.ArgumentParser(description="Peak memory of a training step, beside PyTorch.")
    parser.add_argument("--shape", default="lstm B32 T500 I256 H256 L1")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--json", type=Path, help="also write everything here")
    parser.add_argument("--torch", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.torch:
        return torch_child(args.shape, args.threads, args.seconds)
    environment.enter()

    common = ["--shape", args.shape, "--threads", str(args.threads), "--seconds", str(args.seconds)]
    crate = ["cargo", "bench", "--quiet", "--bench", "memory", "--", "--json", "--rounds", "1", *common]
    torch = [sys.executable, HERE / "memory.py", "--torch", *common]
    about = {
        "date": datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
        "command": " ".join(["python benches/peers/memory.py", *map(record.quoted, sys.argv[1:])]),
        "machine": record.machine(),
        "crate": record.crate(),
    }
    runs = {}
    for _ in range(args.rounds):
        for row in lines(crate):
            runs.setdefault(f"keep {row['keep']}", []).append(row)
        runs.setdefault("PyTorch", []).append(lines(torch)[0])
    middle = {
        name: {key: statistics.median(run[key] for run in of) for key in ("peak_bytes", "calls_bytes", "median_us")}
        for name, of in runs.items()
    }
    own = middle["keep all"]
    print(f"{args.shape}, {args.threads} thread(s), medians of {args.rounds} processes")
    print(f"{'':12} {'whole':>12} {'calls':>12} {'time':>10} {'of keep all':>12}")
    for name, m in middle.items():
        whole, calls = m["peak_bytes"] / 2**20, m["calls_bytes"] / 2**20
        ratio = m["median_us"] / own["median_us"]
        print(f"{name:12} {whole:8.1f} MiB {calls:8.1f} MiB {m['median_us'] / 1e3:7.1f} ms {ratio:12.2f}")
    if args.json:
        args.json.write_text(json.dumps({"about": about, "runs": runs}, indent=1) + "\n")


if __name__ == "__main__":
    main()
