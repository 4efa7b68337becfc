"""Peak memory and time of a training step, this crate beside PyTorch, each in a process of its own.

What: `cargo bench --bench memory` and, in turns with it, a Python process that makes one layer of PyTorch,
runs forward and backward into weights and input with ones from above, gradients cleared in between, and tells
its peak (`VmHWM`) and its median time.
Whole: the peak of the process, libraries and all. `calls`: the peak less what the process had before its
first call, with the layer, the input and the gradient from above already there: that leaves out Python and
the libraries. Ratios of times are medians of the rounds' ratios to this crate's with the whole tape.

usage: python benches/peers/memory.py [--shape "lstm B32 T500 I256 H256 L1"] [--threads 1]
                                      [--rounds 3] [--seconds 2] [--json FILE]
needs: Linux, cargo, and PyTorch in this Python or in the environment of compare.py; without PyTorch this
crate alone
"""
import argparse
import datetime
import importlib.util
import json
import math
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
OWN = "keep all"


def status(name):
    text = Path("/proc/self/status").read_text()
    return int(re.search(rf"^{name}:\s+(\d+) kB", text, re.M).group(1)) * 1024


def torch_child(args):
    """One layer of PyTorch; prints one JSON line."""
    import torch

    kind, *sizes = args.shape.split()
    size = {part[0]: int(part[1:]) for part in sizes if part != "bi"}
    torch.set_num_threads(args.threads)
    make = torch.nn.LSTM if kind == "lstm" else torch.nn.GRU
    layer = make(size["I"], size["H"], size["L"], bidirectional="bi" in sizes)
    x = torch.rand(size["T"], size["B"], size["I"]).requires_grad_()
    dy = torch.ones(size["T"], size["B"], size["H"] * (2 if "bi" in sizes else 1))
    before = status("VmRSS")

    def call():
        x.grad = None
        layer.zero_grad(set_to_none=True)
        y, _ = layer(x)
        y.backward(dy)

    call()
    times, start = [], time.perf_counter()
    while len(times) < 3 or time.perf_counter() - start < args.seconds:
        began = time.perf_counter()
        call()
        times.append(time.perf_counter() - began)
    peak = status("VmHWM")
    row = {"version": torch.__version__, "shape": args.shape, "threads": args.threads, "peak_bytes": peak}
    print(json.dumps(row | {"calls_bytes": peak - before, "median_us": statistics.median(times) * 1e6}))


def lines(command):
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    found = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    if done.returncode or not found:
        said = done.stderr.strip().splitlines() or [f"{command[0]}: nothing"]
        raise SystemExit(next((line for line in said if line.startswith("error: ")), said[-1]))
    return found


def arguments():
    parser = argparse.ArgumentParser(
        description="Peak memory of a training step, beside PyTorch.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument(
        "--shape", default="lstm B32 T500 I256 H256 L1", help="of an LSTM or a GRU, also with bi"
    )
    parser.add_argument("--threads", type=int, default=1, help="of each program")
    parser.add_argument("--rounds", type=int, default=3, help="processes of each, which take turns")
    parser.add_argument("--seconds", type=float, default=2.0, help="of training steps in each process")
    parser.add_argument("--json", type=Path, help="also write everything here")
    parser.add_argument("--torch", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if not re.fullmatch(r"(lstm|gru)( [BTIHL][1-9]\d*){5}( bi)?", args.shape):
        parser.error(
            '--shape: expected, say, "lstm B32 T500 I256 H256 L1", or gru, or bi at its end, '
            f"got {args.shape!r}"
        )
    if args.rounds < 1 or args.threads < 1:
        parser.error("--rounds and --threads: expected at least 1")
    if not (math.isfinite(args.seconds) and args.seconds >= 0):
        parser.error(f"--seconds: expected a number from 0, got {args.seconds}")
    if args.json and not args.json.resolve().parent.is_dir():
        parser.error(f"--json: no folder {args.json.parent}")
    return args


def main():
    args = arguments()
    if args.torch:
        return torch_child(args)
    environment.enter()

    common = ["--shape", args.shape, "--threads", str(args.threads), "--seconds", str(args.seconds)]
    crate = ["cargo", "bench", "--quiet", "--bench", "memory", "--", "--json", "--rounds", "1", *common]
    torch = [sys.executable, HERE / "memory.py", "--torch", *common]
    has_torch = importlib.util.find_spec("torch") is not None
    if not has_torch:
        print(f"PyTorch: skipped: not in {sys.prefix}", flush=True)
    about = {
        "date": datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
        "command": " ".join(["python benches/peers/memory.py", *map(record.quoted, sys.argv[1:])]),
        "shape": args.shape,
        "threads": args.threads,
        "rounds": args.rounds,
        "seconds": args.seconds,
        "machine": record.machine(),
        "crate": record.crate(),
    }
    runs = {}
    for _ in range(args.rounds):
        for row in lines(crate):
            runs.setdefault(f"keep {row['keep']}", []).append(row)
        if has_torch:
            runs.setdefault("PyTorch", []).append(lines(torch)[0])
    print(f"{args.shape}, {args.threads} thread(s), medians of {args.rounds} processes")
    print(f"{'':12} {'whole':>12} {'calls':>12} {'time':>10} {'of keep all':>12}")
    for name, of in runs.items():
        whole, calls, micros = (
            statistics.median(run[key] for run in of) for key in ("peak_bytes", "calls_bytes", "median_us")
        )
        ratio = statistics.median(run["median_us"] / own["median_us"] for run, own in zip(of, runs[OWN]))
        print(
            f"{name:12} {whole / 2**20:8.1f} MiB {calls / 2**20:8.1f} MiB {micros / 1e3:7.1f} ms "
            f"{ratio:12.2f}"
        )
    if args.json:
        args.json.write_text(json.dumps({"about": about, "runs": runs}, indent=1) + "\n")


if __name__ == "__main__":
    main()
